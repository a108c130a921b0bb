-- What users must hear of even if they did it themselves, because somebody else may have: written to their log by the audit
-- entry of the act, in its transaction. The user's log is locked after the head of the audit log, which nobody takes after it.
CREATE FUNCTION identity.notification_of(e identity.audit_log) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', 'audit-' || e.seq, 'kind', kind, 'title', title, 'text', text,
    'data', jsonb_strip_nulls(jsonb_build_object('ip', e.ip, 'userAgent', e.user_agent, 'sessionId', e.details ->> 'sessionId',
      'keyId', e.details ->> 'keyId')))
  FROM (
    SELECT CASE e.act
        WHEN 'login' THEN 'login_new_device'
        WHEN 'refresh_reuse' THEN 'session_stolen'
        WHEN 'password_change' THEN 'password_changed'
        WHEN 'totp_enable' THEN 'totp_enabled'
        WHEN 'totp_disable' THEN 'totp_disabled'
        WHEN 'recovery_codes' THEN 'recovery_codes_renewed'
        WHEN 'key_create' THEN 'key_created'
        WHEN 'key_revoke' THEN 'key_revoked'
        WHEN 'roles_set' THEN 'roles_changed'
      END AS kind,
      CASE e.act
        WHEN 'login' THEN 'Login from a new device'
        WHEN 'refresh_reuse' THEN 'A session was ended because its token was used twice'
        WHEN 'password_change' THEN 'Your password was changed'
        WHEN 'totp_enable' THEN 'Two-factor authentication is on'
        WHEN 'totp_disable' THEN 'Two-factor authentication is off'
        WHEN 'recovery_codes' THEN 'Your recovery codes were renewed'
        WHEN 'key_create' THEN 'An API key was created'
        WHEN 'key_revoke' THEN 'An API key was revoked'
        WHEN 'roles_set' THEN 'Your roles were changed'
      END AS title,
      'From ' || coalesce(e.ip, 'an unknown address') || '. If this was not you, change your password and end all sessions.' AS text
  ) AS said
  WHERE kind IS NOT NULL AND (e.act <> 'login' OR (e.details ->> 'newDevice')::boolean)
    AND (e.outcome = 'ok' OR e.act = 'refresh_reuse')
$$;

CREATE FUNCTION identity.notify_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_temp AS $$
DECLARE
  v_notification jsonb := notification_of(NEW);
BEGIN
  IF v_notification IS NOT NULL THEN
    PERFORM ledger.append_events(NEW.user_id, NULL,
      jsonb_build_array(jsonb_build_object('type', 'notification', 'payload', v_notification)));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER c_notify_user AFTER INSERT ON identity.audit_log
  FOR EACH ROW WHEN (NEW.user_id IS NOT NULL) EXECUTE FUNCTION identity.notify_user();
ALTER TABLE identity.audit_log ENABLE ALWAYS TRIGGER c_notify_user;
