# Region and credentials come from the environment.
provider "aws" {
  default_tags {
    tags = var.harness_tags
  }
}

resource "aws_dynamodb_table" "records" {
  name         = "pipeline-records-${var.name_suffix}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pipeline_id"
  range_key    = "record_id"

  attribute {
    name = "pipeline_id"
    type = "S"
  }

  attribute {
    name = "record_id"
    type = "S"
  }
}

module "function" {
  source = "../modules/durable_function"

  function_name = "data-pipeline-${var.name_suffix}"
  description   = "Fetches records, validates and enriches each, stores the good ones"
  package_path  = var.package_path
  package_hash  = var.package_hash

  environment = {
    TABLE_NAME = aws_dynamodb_table.records.name
  }

  policy_statements = [{
    actions   = ["dynamodb:BatchWriteItem"]
    resources = [aws_dynamodb_table.records.arn]
  }]
}
