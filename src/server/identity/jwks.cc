#include "server/identity/jwks.h"

#include "base/encoding.h"
#include "machinery/codec_json.h"

namespace keles::identity {
namespace {

// Null for a key that signs no tokens of ours.
net::VerifyingKeyPtr read_key(const Value& k) {
  if (k["use"].is_string() && k["use"].as_string() != "sig") return nullptr;
  auto part = [&k](const char* name) {
    auto bytes = base64url_decode(k[name].as_string());
    return bytes.ok() ? std::move(*bytes) : std::string();
  };
  const std::string_view type = k["kty"].as_string();
  Result<net::VerifyingKeyPtr> key = Status::bad_request("another kind of key");
  if (type == "RSA") key = net::rsa_verifying_key(part("n"), part("e"));
  if (type == "EC") key = net::ec_verifying_key(k["crv"].as_string(), part("x"), part("y"));
  return key.ok() ? *key : nullptr;
}

Result<Document> decode(std::string_view part, const char* what) {
  auto text = base64url_decode(part);
  if (!text.ok())
    return Status::unauthorized(std::string("the token's ") + what + " is no base64url");
  std::vector<std::string> duplicates;
  JsonOptions options;
  options.duplicates = &duplicates;
  auto json = parse_json(*text, options);
  if (!json.ok() || !json->root.is_map() || !duplicates.empty()) {
    return Status::unauthorized(std::string("the token's ") + what + " is not a JSON object");
  }
  return std::move(*json);
}

}  // namespace

Result<std::vector<PublicKey>> parse_key_set(std::string_view json) {
  if (json.size() > kMaxKeySetBytes) return Status::bad_request("the key set is too large");
  TRY_ASSIGN(doc, parse_json(json));
  if (!doc.root["keys"].is_list()) return Status::bad_request("the key set has no keys");
  if (doc.root["keys"].size() > kMaxKeys)
    return Status::bad_request("the key set has too many keys");
  std::vector<PublicKey> out;
  for (const Value& k : doc.root["keys"].items()) {
    net::VerifyingKeyPtr key = read_key(k);
    if (!key) continue;
    out.push_back({std::string(k["kid"].as_string()), std::string(k["alg"].as_string()), key});
  }
  return out;
}

Result<Token> parse_token(std::string_view token) {
  if (token.size() > kMaxTokenBytes) return Status::unauthorized("the token is too long");
  const size_t first = token.find('.');
  const size_t second = first == token.npos ? first : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) {
    return Status::unauthorized("malformed token");
  }
  Token out;
  TRY_ASSIGN(header, decode(token.substr(0, first), "header"));
  TRY_ASSIGN(claims, decode(token.substr(first + 1, second - first - 1), "payload"));
  TRY_ASSIGN(signature, base64url_decode(token.substr(second + 1)));
  // RFC 7515, 4.1.11: what must be understood, and no extension is, ends it.
  if (header.root.find("crit") != nullptr) {
    return Status::unauthorized("the token has an unsupported crit header");
  }
  out.header = std::move(header);
  out.claims = std::move(claims);
  out.signature = std::move(signature);
  out.signed_text = token.substr(0, second);
  return out;
}

bool is_signed_by(const Token& token, const std::vector<PublicKey>& keys) {
  const std::string_view id = token.key_id(), algorithm = token.algorithm();
  for (const PublicKey& k : keys) {
    if (!id.empty() && k.id != id) continue;
    if (!k.algorithm.empty() && k.algorithm != algorithm) continue;
    if (k.key->verify(algorithm, token.signed_text, token.signature)) return true;
  }
  return false;
}

}  // namespace keles::identity
