"""Long videos: cut into segments that queue functions detect, merged once, drawn in segments, joined."""
