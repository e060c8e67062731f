#include "server/registry/tokens.h"

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "server/objects/meta.h"

namespace keles::registry {
namespace {

// The text of a JSON string member; keys hold only DNS names, slashes and \u0000.
bool string_member(std::string_view json, std::string_view key, std::string& out) {
  std::string mark = "\"" + std::string(key) + "\":\"";
  size_t at = json.find(mark);
  if (at == std::string_view::npos) return false;
  for (size_t i = at + mark.size(); i < json.size(); ++i) {
    if (json[i] == '"') return true;
    if (json[i] != '\\') {
      out.push_back(json[i]);
    } else if (json.substr(i, 6) == "\\u0000") {
      out.push_back('\0');
      i += 5;
    } else if (++i < json.size()) {
      out.push_back(json[i]);
    }
  }
  return false;
}

}  // namespace

std::string encode_continue(int64_t revision, std::string_view start) {
  std::string json =
      "{\"v\":\"meta.k8s.io/v1\",\"rv\":" + std::to_string(revision) + ",\"start\":\"";
  for (char c : start) {
    if (c == '\0') {
      json += "\\u0000";
    } else {
      if (c == '"' || c == '\\') json.push_back('\\');
      json.push_back(c);
    }
  }
  return base64url_encode(json + "\"}");
}

Result<ContinueToken> decode_continue(std::string_view token) {
  static constexpr std::string_view kBad = "invalid continue token: continue key is not valid: ";
  auto bad = [](std::string_view why) {
    return Status::bad_request(std::string(kBad) + std::string(why));
  };
  std::string json, version;
  ContinueToken out;
  if (token.size() > 4096) return bad("too long");
  auto decoded = base64url_decode(token);
  if (!decoded.ok()) return bad(decoded.status().message());
  json = std::move(*decoded);
  if (auto parsed = parse_json(json); !parsed.ok()) return bad(parsed.status().message());
  if (!string_member(json, "v", version) || version != "meta.k8s.io/v1") {
    return bad("server does not recognize this encoded version " + version);
  }
  size_t at = json.find("\"rv\":");
  size_t end = at == std::string::npos ? at : json.find_first_of(",}", at);
  auto rv = end == std::string::npos ? std::nullopt
                                     : to_int(std::string_view(json).substr(at + 5, end - at - 5));
  if (!rv || *rv == 0) {
    return bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  out.revision = *rv;
  if (!string_member(json, "start", out.start) || out.start.empty() ||
      out.start.find("..") != std::string::npos || out.start[0] == '/') {
    return bad("encoded start key empty (version meta.k8s.io/v1)");
  }
  return out;
}

}  // namespace keles::registry
