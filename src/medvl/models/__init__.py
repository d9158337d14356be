"""Plain ``nn.Module`` architectures, one file each; tensors in and out."""
