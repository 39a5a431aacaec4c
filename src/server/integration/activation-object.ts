import type { Activation } from '../../core/licensing/activation.js'

export const activationObjectOf = (activation: Activation) => ({
  id: activation.id,
  license_id: activation.licenseId,
  license_key_id: activation.licenseId,
  instance_id: activation.instanceId,
  device_fingerprint: activation.deviceFingerprint,
  status: activation.status,
  activated_at: activation.activatedAt,
  created_at: activation.createdAt,
  metadata: activation.metadata,
})
