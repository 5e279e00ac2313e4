"""How the starter models are made. PyTorch is needed here and nowhere else: the app never imports this folder."""
