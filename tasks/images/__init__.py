"""What the image classification tasks share: decoded images, batches of them, accuracy, removable units."""
