-- The legacy tables, bare: rows are filled in before the keys and triggers of constraints.sql exist, because the
-- trigger on users would make customers rows of its own. A line that ends in "-- current" or "-- older" belongs to
-- that kind of installation alone (schema.py chooses).

CREATE TYPE user_role_simple AS ENUM ('super_admin', 'tenant_admin', 'store_manager', 'staff', 'customer'); -- current

-- Logins, with a second copy of personal data.
CREATE TABLE users (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email varchar(255) NOT NULL,
    password_hash varchar(255) NOT NULL,
    first_name varchar(100),
    last_name varchar(100),
    phone varchar(50),
    date_of_birth date,
    marketing_consent boolean DEFAULT false,
    role user_role_simple DEFAULT 'customer', -- current
    role varchar(50) DEFAULT 'user', -- older
    active boolean DEFAULT true,
    email_verified boolean DEFAULT false,
    phone_verified boolean DEFAULT false,
    age_verified boolean DEFAULT false,
    terms_accepted boolean DEFAULT false,
    tenant_id uuid, -- current
    profile_id uuid,
    session_id varchar(255),
    last_login timestamp,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

-- One row per user and one per guest checkout.
CREATE TABLE customers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id uuid,
    email varchar(255) NOT NULL,
    first_name varchar(100),
    last_name varchar(100),
    phone varchar(50),
    date_of_birth date,
    address text, -- current
    address jsonb, -- older
    city varchar(100),
    state varchar(50),
    postal_code varchar(20),
    country varchar(100) DEFAULT 'USA',
    loyalty_points integer DEFAULT 0,
    total_spent numeric(12,2) DEFAULT 0,
    order_count integer DEFAULT 0,
    last_order_date timestamp,
    customer_type varchar(50) DEFAULT 'regular',
    preferred_payment_method varchar(50),
    marketing_consent boolean DEFAULT false,
    sms_consent boolean DEFAULT false,
    tags jsonb DEFAULT '[]',
    notes text,
    is_active boolean DEFAULT true,
    is_verified boolean DEFAULT false,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

-- What the recommender knows; the key is text: a customers.id in any spelling, or a chat id.
CREATE TABLE customer_profiles (
    customer_id varchar(100) NOT NULL,
    preferences jsonb DEFAULT '{}',
    purchase_history jsonb DEFAULT '[]',
    interaction_count integer DEFAULT 0,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

-- Sessions, mostly anonymous.
CREATE TABLE user_profiles (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id varchar(255) NOT NULL,
    email varchar(255),
    phone varchar(50),
    age_verified boolean,
    customer_type varchar(50),
    preferences jsonb DEFAULT '{}',
    needs jsonb DEFAULT '[]',
    experience_level varchar(50),
    medical_conditions jsonb DEFAULT '[]',
    preferred_categories jsonb DEFAULT '[]',
    preferred_effects jsonb DEFAULT '[]',
    price_range jsonb,
    purchase_history jsonb DEFAULT '[]',
    interaction_count integer,
    language varchar(10) DEFAULT 'en',
    timezone varchar(50),
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE orders (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    order_number varchar(100) NOT NULL,
    cart_session_id uuid,
    user_id uuid,
    user_profile_id uuid,
    customer_id uuid,
    store_id uuid,
    items jsonb NOT NULL DEFAULT '[]',
    subtotal numeric(12,2),
    tax_amount numeric(12,2),
    discount_amount numeric(12,2),
    delivery_fee numeric(12,2),
    total_amount numeric(12,2),
    payment_method varchar(50),
    payment_status varchar(50),
    delivery_address jsonb,
    delivery_status varchar(50),
    special_instructions text,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);
