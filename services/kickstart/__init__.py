"""kickstart: renders what machines boot and how they are installed, serves images, hears how the install goes."""
