"""Policy: ordered rules over a decision's score, features and event, and what they lead to."""
