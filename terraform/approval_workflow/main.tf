# Region and credentials come from the environment.
provider "aws" {
  default_tags {
    tags = var.harness_tags
  }
}

module "function" {
  source = "../modules/durable_function"

  function_name = "approval-workflow-${var.name_suffix}"
  description   = "Waits for a decision, by polling or by callback"
  package_path  = var.package_path
  package_hash  = var.package_hash
}
