-- Keys, indexes and triggers of the tables in tables.sql; the same markers.

ALTER TABLE users ADD PRIMARY KEY (id);
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email);
ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE customers ADD CONSTRAINT customers_user_id_key UNIQUE (user_id);
ALTER TABLE customers ADD CONSTRAINT customers_email_user_id_key UNIQUE (email, user_id);
ALTER TABLE customer_profiles ADD PRIMARY KEY (customer_id);
ALTER TABLE user_profiles ADD PRIMARY KEY (id);
ALTER TABLE user_profiles ADD CONSTRAINT user_profiles_session_id_key UNIQUE (session_id);
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE orders ADD CONSTRAINT orders_order_number_key UNIQUE (order_number);

-- Older installations trusted the application: a customer, or an order, could name a user who is gone.
ALTER TABLE customers ADD CONSTRAINT customers_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL; -- current
ALTER TABLE orders ADD CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id); -- current
ALTER TABLE orders ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE SET NULL;

CREATE INDEX idx_customers_email ON customers (email);
CREATE INDEX idx_customers_user_id ON customers (user_id);
CREATE INDEX idx_customers_phone ON customers (phone);
CREATE INDEX idx_customers_is_active ON customers (is_active);
CREATE INDEX idx_customers_customer_type ON customers (customer_type);
CREATE INDEX idx_customers_created_at ON customers (created_at);

CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$;

CREATE TRIGGER update_customers_updated_at BEFORE UPDATE ON customers
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER update_orders_updated_at BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- The reason for the duplication: every user gets a customers row, and every change of a user writes into it.
CREATE FUNCTION create_customer_for_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO customers (user_id, email, first_name, last_name, phone, date_of_birth, marketing_consent, is_verified)
    VALUES (NEW.id, NEW.email, NEW.first_name, NEW.last_name, NEW.phone, NEW.date_of_birth, NEW.marketing_consent,
            NEW.email_verified OR NEW.phone_verified)
    ON CONFLICT (user_id) DO UPDATE SET
        email = EXCLUDED.email,
        first_name = COALESCE(EXCLUDED.first_name, customers.first_name),
        last_name = COALESCE(EXCLUDED.last_name, customers.last_name),
        phone = COALESCE(EXCLUDED.phone, customers.phone),
        date_of_birth = COALESCE(EXCLUDED.date_of_birth, customers.date_of_birth),
        marketing_consent = EXCLUDED.marketing_consent,
        is_verified = EXCLUDED.is_verified;
    RETURN NEW;
END;
$$;

CREATE TRIGGER create_customer_on_user_insert AFTER INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION create_customer_for_user();
