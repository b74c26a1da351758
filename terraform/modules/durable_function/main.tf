data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  # Built from its parts: the role's policy names the function, and the function needs the policy to exist first.
  function_arn = format(
    "arn:%s:lambda:%s:%s:function:%s",
    data.aws_partition.current.partition,
    data.aws_region.current.id,
    data.aws_caller_identity.current.account_id,
    var.function_name,
  )

  base_statements = [
    {
      actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
    },
    {
      # Durable actions are checked against the function's version, so an ARN without ":*" never matches.
      actions   = ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"]
      resources = ["${local.function_arn}:*"]
    },
  ]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.function_name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  name        = var.function_name
  description = "Execution role of the durable function ${var.function_name}"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# logs:CreateLogGroup is left out on purpose: a log that arrives after the destroy would re-create the group, and the
# next apply would fail on it.
resource "aws_iam_role_policy" "this" {
  name = "durable-function"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for statement in concat(local.base_statements, var.policy_statements) : {
        Effect   = "Allow"
        Action   = statement.actions
        Resource = statement.resources
      }
    ]
  })
}

resource "aws_lambda_function" "this" {
  function_name    = var.function_name
  description      = var.description
  role             = aws_iam_role.this.arn
  runtime          = var.runtime
  handler          = var.handler
  filename         = var.package_path
  source_code_hash = var.package_hash != null ? var.package_hash : filebase64sha256(var.package_path)
  timeout          = var.timeout
  memory_size      = var.memory_size
  tags             = var.tags

  # Executions replay on the code they started with, so they run on a published version.
  publish = true

  durable_config {
    execution_timeout = var.execution_timeout
    retention_period  = var.retention_period
  }

  dynamic "environment" {
    for_each = length(var.environment) > 0 ? [var.environment] : []

    content {
      variables = environment.value
    }
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this.name
    application_log_level = "INFO"
  }

  timeouts {
    # The provider stops running executions before it deletes the function, and documents up to an hour for that.
    delete = "60m"
  }

  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.this,
  ]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "The version that callers invoke"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
