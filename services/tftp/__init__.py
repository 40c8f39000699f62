"""The TFTP service: boot loaders, rendered boot configurations, kernels and initial ram disks for machines."""
