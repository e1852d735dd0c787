"""What opens archives that ask who we are: from the environment, and never shown."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr

from geo_assets.domain.errors import ResourceError
from geo_assets.io.archives.facts import Credential


class Credentials(BaseModel):
    """Keys and passwords; each may be missing. AWS's own chain is asked when it is needed, and kept nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    pc_subscription_key: SecretStr | None = None
    """PC_SDK_SUBSCRIPTION_KEY"""
    cdse_username: SecretStr | None = None
    """CDSE_USERNAME"""
    cdse_password: SecretStr | None = None
    """CDSE_PASSWORD"""
    cdse_totp: SecretStr | None = None
    """CDSE_TOTP, the present code of a second factor."""
    cdse_s3_access_key: SecretStr | None = None
    """CDSE_S3_ACCESS_KEY"""
    cdse_s3_secret_key: SecretStr | None = None
    """CDSE_S3_SECRET_KEY"""
    aws_session: Callable[[], Any] | None = None
    """Makes the boto3 session that pays for requester-pays buckets; None: boto3's own."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """What the variables named above hold; empty ones count as not set.

        Raises
        ------
        ResourceError
            One of a pair is set and the other is not.
        """
        found = {field: variables[name] for name, field in _FIELDS.items() if variables.get(name)}
        for pair in _PAIRS:
            given = [name for name in pair if _FIELDS[name] in found]
            if len(given) == 1:
                missing = next(name for name in pair if name not in given)
                raise ResourceError(
                    f"Credentials: {given[0]} is set and {missing} is not; they belong together. Set both, or none."
                )
        return cls.model_validate(found)

    def has(self, credential: Credential) -> bool:
        """Whether a credential is at hand; boto3 is asked for AWS's."""
        if credential.variables:
            return all(getattr(self, _FIELDS[name]) is not None for name in credential.variables)
        import boto3  # costs 0.2 s, which other archives should not pay

        session = boto3.session.Session() if self.aws_session is None else self.aws_session()
        return session.get_credentials() is not None


_FIELDS = {
    "PC_SDK_SUBSCRIPTION_KEY": "pc_subscription_key",
    "CDSE_USERNAME": "cdse_username",
    "CDSE_PASSWORD": "cdse_password",
    "CDSE_TOTP": "cdse_totp",
    "CDSE_S3_ACCESS_KEY": "cdse_s3_access_key",
    "CDSE_S3_SECRET_KEY": "cdse_s3_secret_key",
}
"""Environment variable -> field."""

_PAIRS = (("CDSE_USERNAME", "CDSE_PASSWORD"), ("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"))
