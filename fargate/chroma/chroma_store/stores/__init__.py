"""The stores beside the snapshots: what compaction feeds them, and the proof that it arrived."""
