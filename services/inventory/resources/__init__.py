"""What operators declare: subnets, images, profiles, machines, webhooks; read strictly, explained kindly."""
