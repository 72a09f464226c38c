"""Text encoders of the BERT family, shared by the tasks that classify, rerank and retrieve with one."""
