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
