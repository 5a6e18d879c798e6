"""The Amazon EC2 Query API: requirements and the checks that judge them."""
