output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "Unqualified ARN of the function. Durable functions are invoked through a version or an alias: see alias_arn."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias on the published version."
  value       = aws_lambda_alias.live.name
}

output "alias_arn" {
  description = "ARN to invoke the function with."
  value       = aws_lambda_alias.live.arn
}

output "version" {
  description = "Number of the published version that the alias points to."
  value       = aws_lambda_function.this.version
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "role_name" {
  description = "Name of the function's execution role."
  value       = aws_iam_role.this.name
}
