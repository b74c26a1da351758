variable "name_suffix" {
  description = "Ends every name, so that deployments side by side never meet."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{1,16}$", var.name_suffix))
    error_message = "name_suffix must be 1 to 16 lower-case letters and digits."
  }
}

variable "package_path" {
  description = "Absolute path of the function's zip; build it with: python -m harness.packaging function -o function.zip"
  type        = string
  nullable    = false
}

variable "package_hash" {
  description = "Base64 SHA-256 of the zip; null computes it from the file."
  type        = string
  default     = null
}

variable "harness_tags" {
  description = "Tags of everything that is created here."
  type        = map(string)
  default     = {}
  nullable    = false
}
