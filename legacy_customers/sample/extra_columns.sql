-- Columns of a shop's own, which the unification does not know. Nothing in them may be lost.

ALTER TABLE users ADD COLUMN referral_code text;
ALTER TABLE customers ADD COLUMN loyalty_tier text;
