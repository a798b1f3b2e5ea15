# A function and its layer, uploaded from dist/latest/.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws     = { source = "hashicorp/aws", version = ">= 5.0" }
    archive = { source = "hashicorp/archive", version = ">= 2.4" }
  }
}

locals {
  imaging = "${path.module}/dist/latest/imaging-python3.13-arm64.zip"
}

resource "aws_lambda_layer_version" "imaging" {
  layer_name               = "imaging-python3-13-arm64"
  filename                 = local.imaging
  source_code_hash         = filebase64sha256(local.imaging)
  compatible_runtimes      = ["python3.13"]
  compatible_architectures = ["arm64"]
  skip_destroy             = true
}

data "archive_file" "thumbnail" {
  type        = "zip"
  source_dir  = "${path.module}/src/thumbnail"
  output_path = "${path.module}/dist/thumbnail.zip"
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "thumbnail" {
  name_prefix        = "thumbnail-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_lambda_function" "thumbnail" {
  function_name    = "thumbnail"
  filename         = data.archive_file.thumbnail.output_path
  source_code_hash = data.archive_file.thumbnail.output_base64sha256
  handler          = "app.handler"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  memory_size      = 512
  timeout          = 30
  role             = aws_iam_role.thumbnail.arn
  layers           = [aws_lambda_layer_version.imaging.arn]
}
