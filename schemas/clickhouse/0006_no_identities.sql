-- `accepted` has all of it.
DROP VIEW IF EXISTS identities_of;
DROP VIEW IF EXISTS identities_of_states;
DROP TABLE IF EXISTS identities;
