"""From the journal to a sink: one worker each, which reads, filters, formats, sends, and moves the cursor."""

from forwarder.delivery.worker import DeliveryWorker

__all__ = ["DeliveryWorker"]
