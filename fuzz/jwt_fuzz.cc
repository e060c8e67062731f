// Tokens and key sets of strangers, answers of review webhooks: refused, or taken apart; nothing
// that was not signed is ever found good.
#include <cstdint>
#include <cstdlib>

#include "seeds.h"
#include "server/auth/bootstrap_tokens.h"
#include "server/auth/tokens.h"
#include "server/identity/access_webhook.h"
#include "server/identity/claims.h"
#include "server/identity/jwks.h"
#include "server/identity/token_webhook.h"

using namespace keles;

namespace {

const identity::ClaimRules& rules() {
  static const identity::ClaimRules all = [] {
    identity::ClaimRules r;
    r.username.expression =
        *identity::compile_claims("claims.sub + ':' + claims.?x.orValue('')", false);
    r.groups.claim = "groups";
    r.claim_rules.push_back({*identity::compile_claims("claims.n > 1.0", true), "n"});
    r.user_rules.push_back({*identity::compile_user("user.username != ''"), "u"});
    return r;
  }();
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto keys = identity::parse_key_set(text);
  auto token = identity::parse_token(text);
  if (token.ok()) {
    (void)identity::user_of(rules(), token->claims.root);
    if (keys.ok() && identity::is_signed_by(*token, *keys)) std::abort();
  }
  static const net::SigningKeys own = {
      *net::SigningKey::generate(net::SigningKey::Algorithm::kEs256)};
  auth::AuthOptions options;
  options.keys = own;
  (void)auth::is_service_account_token(options, text);
  if (net::jwt_verify(own, text).ok()) std::abort();  // nobody else has that key
  std::string_view id, secret;
  if (auth::split_bootstrap_token(text, &id, &secret) && text.size() != 23) std::abort();
  auto word = identity::read_token_review(text, {"a"}, {"a"});
  if (word.word == auth::TokenWord::Word::kKnown && word.identity.audiences.empty()) std::abort();
  auto said = identity::read_access_review(text, true);
  if (said.word == auth::Verdict::Word::kAllow && !said.error.empty()) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2EiLCJzdWIiOiJiIiwibiI6Mn0.AAAA",
      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"alg\":\"ES256\",\"use\":"
      "\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":"
      "\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":"
      "\"AQAB\"}]}",
      "abcdef.0123456789abcdef",
      "{\"status\":{\"authenticated\":true,\"audiences\":[\"a\"],\"user\":{\"username\":\"j\","
      "\"groups\":[\"g\"],\"extra\":{\"k\":[\"v\"]}}}}",
      "{\"status\":{\"allowed\":true,\"denied\":false,\"reason\":\"r\"}}",
  };
}
