"""The pages that compare the messages of other programs with the findings of meshkit."""
