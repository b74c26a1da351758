# Region and credentials come from the environment.
provider "aws" {
  default_tags {
    tags = var.harness_tags
  }
}

module "function" {
  source = "../modules/durable_function"

  function_name = "intrinsic-showcase-${var.name_suffix}"
  description   = "The intrinsic functions of the Amazon States Language in Python"
  package_path  = var.package_path
  package_hash  = var.package_hash
}
