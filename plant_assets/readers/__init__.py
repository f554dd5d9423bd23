"""What people read: answers, exports, pictures and the weekly page. Nothing here writes the warehouse."""
