terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # durable_config of aws_lambda_function came with 6.25.0.
      version = ">= 6.25.0"
    }
  }
}
