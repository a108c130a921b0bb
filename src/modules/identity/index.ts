export type {
  Answer,
  AuthRefusal,
  Identity,
  LoginRefusal,
  Origin,
  Principal,
  Revocation,
  SignedRequest,
  StepUpRefusal,
} from './identity.ts';
