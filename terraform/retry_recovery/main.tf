# Region and credentials come from the environment.
provider "aws" {
  default_tags {
    tags = var.harness_tags
  }
}

module "function" {
  source = "../modules/durable_function"

  function_name = "retry-recovery-${var.name_suffix}"
  description   = "Calls a failing service, recovers by the kind of error"
  package_path  = var.package_path
  package_hash  = var.package_hash
}
