output "function_name" {
  description = "Name of the durable function."
  value       = module.function.function_name
}

output "alias_name" {
  description = "Alias to invoke it through."
  value       = module.function.alias_name
}

output "alias_arn" {
  description = "ARN to invoke it with."
  value       = module.function.alias_arn
}

output "log_group_name" {
  description = "Name of its log group."
  value       = module.function.log_group_name
}

output "table_name" {
  description = "Name of the table that records are stored in, keyed by pipeline_id and record_id."
  value       = aws_dynamodb_table.records.name
}
