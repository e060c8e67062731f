// ConfigMaps, Secrets, ServiceAccounts, ResourceQuotas, LimitRanges.
#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/pod_validation.h"
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
  size_t total = 0;
  for (const Member& m : now["data"].members()) {
    FieldPath at = FieldPath("data").key(m.key());
    field::invalid_each(e, at, m.key(), check_config_map_key(m.key()));
    if (now["binaryData"].find(m.key())) {
      field::invalid(e, at, m.key(), "duplicate of key present in binaryData");
    }
    total += m.value.as_string().size();
  }
  for (const Member& m : now["binaryData"].members()) {
    field::invalid_each(e, FieldPath("binaryData").key(m.key()), m.key(),
                        check_config_map_key(m.key()));
    total += decoded_size(m.value.as_string());
  }
  if (total > kMaxData) field::too_long(e, FieldPath(""), kMaxData);
}

void validate_config_map_update(const HookContext&, const Value& now, const Value& before,
                                FieldErrors& e) {
  validate_immutable(e, now, before, {"data", "binaryData"});
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

void validate_secret(const HookContext&, const Value& now, FieldErrors& e) {
  const Value& data = now["data"];
  FieldPath at("data");
  size_t total = 0;
  for (const Member& m : data.members()) {
    field::invalid_each(e, at.key(m.key()), m.key(), check_config_map_key(m.key()));
    total += decoded_size(m.value.as_string());
  }
  if (total > kMaxData) field::too_long(e, at, kMaxData);
  std::string_view type = now["type"].as_string();
  auto needs = [&](std::initializer_list<std::string_view> keys) {
    for (std::string_view key : keys) {
      if (!data.find(key)) field::required(e, at.key(key));
    }
  };
  if (type == "kubernetes.io/service-account-token") {
    if (now["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_string().empty()) {
      field::required(
          e, FieldPath("metadata")["annotations"].key("kubernetes.io/service-account.name"));
    }
  } else if (type == "kubernetes.io/dockercfg") {
    needs({".dockercfg"});
  } else if (type == "kubernetes.io/dockerconfigjson") {
    needs({".dockerconfigjson"});
  } else if (type == "kubernetes.io/basic-auth") {
    if (!data.find("username") && !data.find("password")) {
      field::required(e, at.key("username"));
      field::required(e, at.key("password"));
    }
  } else if (type == "kubernetes.io/ssh-auth") {
    needs({"ssh-privatekey"});
  } else if (type == "kubernetes.io/tls") {
    needs({"tls.crt", "tls.key"});
  }
}

void validate_secret_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& e) {
  field::immutable(e, FieldPath("type"), now["type"], before["type"]);
  validate_immutable(e, now, before, {"data"});
}

void secret_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Data", static_cast<int64_t>(o["data"].size()));
}

void service_account_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Secrets", static_cast<int64_t>(o["secrets"].size()));
}

void validate_quota(const HookContext&, const Value& now, FieldErrors& e) {
  FieldPath at = FieldPath("spec")["hard"];
  for (const Member& m : now["spec"]["hard"].members()) {
    field::invalid_each(e, at.key(m.key()), m.key(), check_qualified_name(m.key()));
    validate_quantity(e, at.key(m.key()), m.value);
  }
}

void quota_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> requests, limits;
  for (const Member& m : o["status"]["hard"].members()) {
    std::string s = std::string(m.key()) + ": " +
                    or_else(o["status"]["used"][m.key()].as_string(), "0") + "/" +
                    std::string(m.value.as_string());
    (m.key().substr(0, 7) == "limits." ? limits : requests).push_back(s);
  }
  std::sort(requests.begin(), requests.end());
  std::sort(limits.begin(), limits.end());
  CellWriter w(ctx, out);
  w.text("Request", joined(requests, ", "));
  w.text("Limit", joined(limits, ", "));
}

}  // namespace

extern const Strategy kConfigMapStrategy{.validate = validate_config_map,
                                         .validate_update = validate_config_map_update,
                                         .cells = config_map_cells};
extern const Strategy kSecretStrategy{.warnings = secret_warnings,
                                      .prepare_for_create = prepare_secret,
                                      .prepare_for_update = prepare_secret_update,
                                      .validate = validate_secret,
                                      .validate_update = validate_secret_update,
                                      .cells = secret_cells};
extern const Strategy kServiceAccountStrategy{.warnings = service_account_warnings,
                                              .cells = service_account_cells};
extern const Strategy kResourceQuotaStrategy{
    .warnings = resource_quota_warnings, .validate = validate_quota, .cells = quota_cells};

}  // namespace keles::registry
