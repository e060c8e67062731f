// ConfigMaps, Secrets, ServiceAccounts.
#include <algorithm>
#include <array>

#include "api/core_v1.h"
#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

constexpr size_t kMaxData = 1024 * 1024;

size_t decoded_size(std::string_view base64) {
  size_t pad = 0;
  while (pad < 2 && pad < base64.size() && base64[base64.size() - 1 - pad] == '=') ++pad;
  return base64.size() / 4 * 3 - std::min(pad, base64.size() / 4 * 3);
}

// What was marked immutable stays as it is.
void validate_immutable(FieldErrors& e, const Value& now, const Value& before,
                        std::initializer_list<std::string_view> fields) {
  if (!before["immutable"].as_bool()) return;
  if (!now["immutable"].as_bool()) {
    field::forbidden(e, FieldPath("immutable"), "field is immutable when `immutable` is set");
  }
  for (std::string_view f : fields) {
    if (!now[f].equals(before[f])) {  // `{}` is not absent here, as upstream has it
      field::forbidden(e, FieldPath(f), "field is immutable when `immutable` is set");
    }
  }
}

void validate_config_map(const HookContext&, const Value& now, FieldErrors& e) {
  const api::core_v1::ConfigMap map(now);
  size_t total = 0;
  for (auto [key, value] : map.data()) {
    const FieldPath at = FieldPath("data").key(key);
    field::invalid_each(e, at, key, check_config_map_key(key));
    if (map.binary_data().contains(key)) {
      field::invalid(e, at, key, "duplicate of key present in binaryData");
    }
    total += value.size();
  }
  for (auto [key, value] : map.binary_data()) {
    field::invalid_each(e, FieldPath("binaryData").key(key), key, check_config_map_key(key));
    total += decoded_size(value);
  }
  if (total > kMaxData) field::too_long(e, FieldPath(""), kMaxData);
}

void validate_config_map_update(const HookContext& ctx, const Value& now, const Value& before,
                                FieldErrors& e) {
  validate_immutable(e, now, before, {"data", "binaryData"});
  validate_config_map(ctx, now, e);
}

void config_map_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Data",
                              static_cast<int64_t>(o["data"].size() + o["binaryData"].size()));
}

// stringData is for writing only: its texts become data.
void take_string_data(Document& now) {
  const Value texts = now.root["stringData"];
  if (texts.is_map() && !texts.empty()) {
    Value& data = now.root.get_or_add(now.arena, "data");
    if (!data.is_map()) data = Value::map();
    for (const Member& m : texts.members()) {
      data.set(now.arena, m.key(),
               Value::string(now.arena.copy(base64_encode(m.value.as_string()))));
    }
  }
  now.root.erase("stringData");
}

void prepare_secret(const HookContext&, Document& now) { take_string_data(now); }

void prepare_secret_update(const HookContext&, Document& now, const Value& before) {
  take_string_data(now);
  if (now.root["type"].as_string().empty()) {
    now.root.set(now.arena, "type", deep_copy(now.arena, before["type"]));
  }
}

// What upstream's decoder says of a text that is no JSON object; "" where it is one.
std::string object_error(std::string_view base64) {
  const std::string text = base64_decode(base64).value_or("");
  auto read = parse_json(text);
  if (!read.ok()) return json_syntax_error(text);
  const Value& v = read->root;
  if (v.is_map() || v.is_null()) return {};
  const char* kind = v.is_list()     ? "array"
                     : v.is_string() ? "string"
                     : v.is_bool()   ? "bool"
                                     : "number";
  return "json: cannot unmarshal " + std::string(kind) +
         " into Go value of type map[string]interface {}";
}

void validate_docker_config(FieldErrors& e, const Map<std::string_view>& data,
                            std::string_view key) {
  const FieldPath at = FieldPath("data").key(key);
  if (!data.contains(key)) {
    field::required(e, at);
  } else if (std::string why = object_error(data.get(key)); !why.empty()) {
    field::invalid(e, at, "<secret contents redacted>", std::move(why));
  }
}

void validate_secret(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr std::string_view kAccount = "kubernetes.io/service-account.name";
  const api::core_v1::Secret secret(now);
  const FieldPath at("data");
  const auto data = secret.data();
  size_t total = 0;
  for (auto [key, value] : data) {
    field::invalid_each(e, at.key(key), key, check_config_map_key(key));
    total += decoded_size(value);
  }
  if (total > kMaxData) field::too_long(e, at, kMaxData);
  auto needs = [&](std::string_view key) {
    if (!data.contains(key)) field::required(e, at.key(key));
  };
  const std::string_view type = secret.type();
  if (type == "kubernetes.io/service-account-token") {
    if (secret.metadata().annotations().get(kAccount).empty()) {
      field::required(e, FieldPath("metadata")["annotations"].key(kAccount));
    }
  } else if (type == "kubernetes.io/dockercfg") {
    validate_docker_config(e, data, ".dockercfg");
  } else if (type == "kubernetes.io/dockerconfigjson") {
    validate_docker_config(e, data, ".dockerconfigjson");
  } else if (type == "kubernetes.io/basic-auth") {
    if (!data.contains("username") && !data.contains("password")) {
      needs("username");
      needs("password");
    }
  } else if (type == "kubernetes.io/ssh-auth") {
    if (data.get("ssh-privatekey").empty()) field::required(e, at.key("ssh-privatekey"));
  } else if (type == "kubernetes.io/tls") {
    needs("tls.crt");
    needs("tls.key");
  }
}

void validate_secret_update(const HookContext& ctx, const Value& now, const Value& before,
                            FieldErrors& e) {
  field::immutable(e, FieldPath("type"), now["type"], before["type"]);
  validate_immutable(e, now, before, {"data"});
  validate_secret(ctx, now, e);
}

void secret_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Data", static_cast<int64_t>(o["data"].size()));
}

void service_account_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Secrets", static_cast<int64_t>(o["secrets"].size()));
}

}  // namespace

extern const Strategy kConfigMapStrategy{.validate = validate_config_map,
                                         .validate_update = validate_config_map_update,
                                         .validates_update_whole = true,
                                         .described = false,
                                         .metadata_again = MetadataAgain::kChangeThenWhole,
                                         .cells = config_map_cells};
extern const Strategy kSecretStrategy{.warnings = secret_warnings,
                                      .prepare_for_create = prepare_secret,
                                      .prepare_for_update = prepare_secret_update,
                                      .validate = validate_secret,
                                      .validate_update = validate_secret_update,
                                      .validates_update_whole = true,
                                      .described = false,
                                      .metadata_again = MetadataAgain::kChangeThenWhole,
                                      .cells = secret_cells};
extern const Strategy kServiceAccountStrategy{.warnings = service_account_warnings,
                                              .described = false,
                                              .metadata_again = MetadataAgain::kChangeThenWhole,
                                              .cells = service_account_cells};

}  // namespace keles::registry
