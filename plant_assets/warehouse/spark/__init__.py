"""The warehouse's tables on Spark. Nothing else imports Spark."""
