variable "function_name" {
  description = "Name of the function, of its role and, below /aws/lambda/, of its log group. At most 64 characters, which both Lambda and IAM allow."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.function_name))
    error_message = "function_name must be 1 to 64 letters, digits, hyphens or underscores."
  }
}

variable "description" {
  description = "What the function is for, shown in the Lambda console."
  type        = string
  default     = ""
  nullable    = false
}

variable "handler" {
  description = "Where the handler is, as module.function."
  type        = string
  default     = "handler.handler"
  nullable    = false
}

variable "package_path" {
  description = "Path of the function's zip, with the durable execution SDK in it."
  type        = string
  nullable    = false
}

variable "package_hash" {
  description = "Base64 SHA-256 of the zip; null computes it from the file."
  type        = string
  default     = null
}

variable "runtime" {
  description = "Managed runtime. The SDK needs python3.13 or python3.14."
  type        = string
  default     = "python3.13"
  nullable    = false
}

variable "timeout" {
  description = "Seconds that one invocation may take; a durable execution is made of many."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900
    error_message = "timeout must be between 1 and 900 seconds."
  }
}

variable "memory_size" {
  description = "Memory of one invocation in MiB."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240
    error_message = "memory_size must be between 128 and 10240 MiB."
  }
}

variable "environment" {
  description = "Environment variables of the function."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "execution_timeout" {
  description = "Seconds that a durable execution may take from its start to its end, waits included."
  type        = number
  default     = 86400
  nullable    = false

  validation {
    condition     = var.execution_timeout >= 1 && var.execution_timeout <= 31622400
    error_message = "execution_timeout must be between 1 and 31622400 seconds."
  }
}

variable "retention_period" {
  description = "Days that the history of a finished execution is kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.retention_period >= 1 && var.retention_period <= 90
    error_message = "retention_period must be between 1 and 90 days."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept; one of the values that CloudWatch Logs allows."
  type        = number
  default     = 14
  nullable    = false
}

variable "policy_statements" {
  description = "What the function may do beyond logging and checkpointing, as IAM Allow statements."
  type = list(object({
    actions   = list(string)
    resources = list(string)
  }))
  default  = []
  nullable = false
}

variable "tags" {
  description = "Tags of the function, its role and its log group, on top of the provider's default_tags."
  type        = map(string)
  default     = {}
  nullable    = false
}
