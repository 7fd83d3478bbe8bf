-- Runs on SQLite and PostgreSQL alike: TEXT, BIGINT and DOUBLE PRECISION only. Ids are UUIDv7 as text, times are
-- milliseconds since 1970, flags are 0 or 1, JSON is text. Ids and times come from the program.

CREATE TABLE role (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  scope TEXT NOT NULL CHECK (scope IN ('project', 'installation'))
);

CREATE TABLE role_permission (
  role_id TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
  permission TEXT NOT NULL,
  PRIMARY KEY (role_id, permission)
);

CREATE TABLE account (
  id TEXT NOT NULL PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  role_id TEXT NOT NULL REFERENCES role (id),
  trusted BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE setup (
  id TEXT NOT NULL PRIMARY KEY,
  token_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT
);

CREATE TABLE invitation (
  id TEXT NOT NULL PRIMARY KEY,
  token_hash TEXT NOT NULL UNIQUE,
  email TEXT,
  created_by TEXT NOT NULL REFERENCES account (id),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_by TEXT REFERENCES account (id),
  used_at BIGINT
);

CREATE TABLE session (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);
CREATE INDEX session_by_account ON session (account_id);

CREATE TABLE refresh_token (
  token_hash TEXT NOT NULL PRIMARY KEY,
  session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

CREATE TABLE ssh_key (
  id TEXT NOT NULL PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  fingerprint TEXT NOT NULL UNIQUE,
  blob TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE INDEX ssh_key_by_account ON ssh_key (account_id);

CREATE TABLE project (
  id TEXT NOT NULL PRIMARY KEY,
  owner_id TEXT NOT NULL REFERENCES account (id),
  slug TEXT NOT NULL,
  deploy_branch TEXT NOT NULL,
  auto_deploy BIGINT NOT NULL DEFAULT 1,
  health_path TEXT,
  data_key TEXT NOT NULL,
  configuration_version BIGINT NOT NULL DEFAULT 0,
  desired_state TEXT NOT NULL CHECK (desired_state IN ('running', 'stopped', 'deleted')),
  desired_generation BIGINT NOT NULL DEFAULT 0,
  active_release_id TEXT,
  head_oid TEXT,
  fence BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  version BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX project_slug_per_owner ON project (owner_id, slug) WHERE desired_state <> 'deleted';

CREATE TABLE membership (
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  role_id TEXT NOT NULL REFERENCES role (id),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, account_id)
);
CREATE INDEX membership_by_account ON membership (account_id);

CREATE TABLE configuration (
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  version BIGINT NOT NULL,
  created_by TEXT REFERENCES account (id),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, version)
);

CREATE TABLE variable (
  project_id TEXT NOT NULL,
  configuration_version BIGINT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('plain', 'secret')),
  value TEXT NOT NULL,
  build BIGINT NOT NULL DEFAULT 0,
  set_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, configuration_version, name),
  FOREIGN KEY (project_id, configuration_version) REFERENCES configuration (project_id, version) ON DELETE CASCADE
);

CREATE TABLE image (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  build_key TEXT NOT NULL,
  reference TEXT NOT NULL,
  engine_id TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  port BIGINT NOT NULL,
  processes TEXT NOT NULL,
  buildpacks TEXT NOT NULL,
  builder TEXT NOT NULL,
  health_path TEXT NOT NULL,
  commit_oid TEXT NOT NULL,
  tree_oid TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (project_id, build_key)
);

CREATE TABLE release (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  image_id TEXT NOT NULL REFERENCES image (id),
  configuration_version BIGINT NOT NULL,
  commit_oid TEXT NOT NULL,
  reason TEXT NOT NULL CHECK (reason IN ('push', 'deployment', 'rollback', 'configuration')),
  rollback_of TEXT,
  operation_id TEXT,
  created_by TEXT REFERENCES account (id),
  created_at BIGINT NOT NULL,
  deployed_at BIGINT,
  UNIQUE (project_id, seq)
);

-- `lane` lets a build and a deployment of one project run side by side: one of each at a time.
CREATE TABLE operation (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('build', 'deploy', 'stop', 'start', 'delete')),
  lane TEXT NOT NULL CHECK (lane IN ('build', 'deploy')),
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'undoing', 'done', 'failed', 'cancelled', 'superseded', 'quarantined')),
  step TEXT NOT NULL,
  step_version BIGINT NOT NULL DEFAULT 1,
  step_data TEXT NOT NULL DEFAULT '{}',
  input TEXT NOT NULL,
  commit_oid TEXT,
  release_id TEXT,
  attempt BIGINT NOT NULL DEFAULT 0,
  next_run_at BIGINT NOT NULL,
  deadline_at BIGINT NOT NULL,
  lease_owner TEXT,
  lease_expires BIGINT,
  fence BIGINT NOT NULL DEFAULT 0,
  cancel_requested BIGINT NOT NULL DEFAULT 0,
  error_code TEXT,
  error_text TEXT,
  created_by TEXT REFERENCES account (id),
  created_at BIGINT NOT NULL,
  ended_at BIGINT,
  version BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX operation_one_running ON operation (project_id, lane) WHERE state IN ('running', 'undoing');
CREATE UNIQUE INDEX operation_one_queued ON operation (project_id, lane) WHERE state = 'queued';
CREATE INDEX operation_by_project ON operation (project_id, id);
CREATE INDEX operation_open ON operation (next_run_at) WHERE state IN ('queued', 'running', 'undoing');

CREATE TABLE operation_event (
  operation_id TEXT NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  step TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('start', 'ok', 'error', 'undo', 'end')),
  at BIGINT NOT NULL,
  data TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (operation_id, seq)
);

CREATE TABLE push (
  id TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  account_id TEXT NOT NULL REFERENCES account (id),
  key_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('open', 'moved', 'closed')),
  action TEXT NOT NULL CHECK (action IN ('build', 'store', 'reject')),
  updates TEXT NOT NULL,
  commit_oid TEXT,
  build_operation_id TEXT,
  deploy_operation_id TEXT,
  created_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX push_by_project ON push (project_id, id);

CREATE TABLE container (
  name TEXT NOT NULL PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  release_id TEXT NOT NULL REFERENCES release (id) ON DELETE CASCADE,
  process TEXT NOT NULL,
  ordinal BIGINT NOT NULL,
  engine_id TEXT NOT NULL,
  state TEXT NOT NULL,
  seen_at BIGINT NOT NULL
);
CREATE INDEX container_by_project ON container (project_id);

CREATE TABLE idempotency (
  account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  route TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  status BIGINT,
  headers TEXT NOT NULL DEFAULT '{}',
  body TEXT NOT NULL DEFAULT '',
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, key)
);


INSERT INTO role (id, name, scope) VALUES
  ('00000000-0000-7000-8000-000000000001', 'owner', 'project'),
  ('00000000-0000-7000-8000-000000000002', 'developer', 'project'),
  ('00000000-0000-7000-8000-000000000003', 'viewer', 'project'),
  ('00000000-0000-7000-8000-000000000004', 'administrator', 'installation'),
  ('00000000-0000-7000-8000-000000000005', 'user', 'installation');

-- Project permissions held by an installation role hold in every project.
INSERT INTO role_permission (role_id, permission)
SELECT r.id, p.permission FROM role r JOIN (
  SELECT 'owner' AS name, 'Read' AS permission UNION ALL SELECT 'owner', 'ReadLogs' UNION ALL
  SELECT 'owner', 'Push' UNION ALL SELECT 'owner', 'Deploy' UNION ALL SELECT 'owner', 'WriteConfiguration' UNION ALL
  SELECT 'owner', 'WriteSecret' UNION ALL SELECT 'owner', 'ReadSecret' UNION ALL SELECT 'owner', 'Exec' UNION ALL
  SELECT 'owner', 'ManageProject' UNION ALL SELECT 'owner', 'DeleteProject' UNION ALL SELECT 'owner', 'AssignRole' UNION ALL
  SELECT 'developer', 'Read' UNION ALL SELECT 'developer', 'ReadLogs' UNION ALL SELECT 'developer', 'Push' UNION ALL
  SELECT 'developer', 'Deploy' UNION ALL SELECT 'developer', 'WriteConfiguration' UNION ALL
  SELECT 'viewer', 'Read' UNION ALL SELECT 'viewer', 'ReadLogs' UNION ALL
  SELECT 'administrator', 'Read' UNION ALL SELECT 'administrator', 'ReadLogs' UNION ALL
  SELECT 'administrator', 'Push' UNION ALL SELECT 'administrator', 'Deploy' UNION ALL
  SELECT 'administrator', 'WriteConfiguration' UNION ALL SELECT 'administrator', 'WriteSecret' UNION ALL
  SELECT 'administrator', 'ReadSecret' UNION ALL SELECT 'administrator', 'Exec' UNION ALL
  SELECT 'administrator', 'ManageProject' UNION ALL SELECT 'administrator', 'DeleteProject' UNION ALL
  SELECT 'administrator', 'AssignRole' UNION ALL SELECT 'administrator', 'CreateProject' UNION ALL
  SELECT 'administrator', 'ManageAccounts' UNION ALL SELECT 'administrator', 'Operate' UNION ALL
  SELECT 'user', 'CreateProject'
) p ON p.name = r.name;
