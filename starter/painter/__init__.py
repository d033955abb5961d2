"""A starter whose pictures lie inside the tradition: a painter of 256 x 256 pictures and what is trained on them."""
