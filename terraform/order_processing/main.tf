# Region and credentials come from the environment.
provider "aws" {
  default_tags {
    tags = var.harness_tags
  }
}

resource "aws_dynamodb_table" "orders" {
  name         = "orders-${var.name_suffix}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "order_id"

  attribute {
    name = "order_id"
    type = "S"
  }
}

module "function" {
  source = "../modules/durable_function"

  function_name = "order-processing-${var.name_suffix}"
  description   = "Validates, pays, reserves and records an order"
  package_path  = var.package_path
  package_hash  = var.package_hash

  environment = {
    TABLE_NAME = aws_dynamodb_table.orders.name
  }

  policy_statements = [{
    actions   = ["dynamodb:PutItem"]
    resources = [aws_dynamodb_table.orders.arn]
  }]
}
