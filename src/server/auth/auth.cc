#include "server/auth/auth.h"

#include <algorithm>
#include <atomic>

#include "base/file.h"
#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/fields.h"
#include "machinery/labels.h"
#include "net/peer_details.h"
#include "net/pem.h"
#include "server/auth/rbac.h"
#include "server/auth/state.h"
#include "server/auth/tokens.h"
#include "store/follow.h"

namespace keles {

void Access::demand(std::string_view field_selector) {
  auto selector = FieldSelector::parse(field_selector);
  if (!selector.ok()) return;
  for (const FieldSelector::Term& t : selector->terms()) {
    if (t.equal) fields.emplace_back(t.path, t.value);
    field_demands.push_back({t.path, t.equal ? "In" : "NotIn", {t.value}});
  }
}

void Access::demand_labels(std::string_view label_selector) {
  auto selector = Selector::parse(label_selector);
  if (!selector.ok()) return;
  using Op = LabelRequirement::Op;
  for (const LabelRequirement& r : selector->requirements()) {
    const char* op = nullptr;
    if (r.op == Op::kEquals || r.op == Op::kDoubleEquals || r.op == Op::kIn) op = "In";
    if (r.op == Op::kNotEquals || r.op == Op::kNotIn) op = "NotIn";
    if (r.op == Op::kExists) op = "Exists";
    if (r.op == Op::kDoesNotExist) op = "DoesNotExist";
    // What cannot be told narrows the request all the same: it is asked for more widely.
    if (op != nullptr) label_demands.push_back({r.key, op, r.values});
  }
}

void Access::demand_of_list(std::string_view field_selector) {
  demand(field_selector);
  if (verb != "list" && verb != "watch") return;
  for (const auto& [field, value] : fields) {
    if (name.empty() && field == "metadata.name") name = value;
  }
}

}  // namespace keles

namespace keles::auth {

Task<void> Auth::ask(Context ctx, Questions* open) const { return open->ask(ctx); }

bool Auth::asks_others() const {
  auto chain = state_->live->authorizers.load();
  return std::any_of(chain->begin(), chain->end(),
                     [](const Authorizer& a) { return a.outside != nullptr; });
}

bool has_group(const Caller& c, std::string_view group) {
  return std::find(c.groups.begin(), c.groups.end(), group) != c.groups.end();
}

namespace {

std::shared_ptr<LivePolicy> as_options_say(const AuthOptions& options) {
  auto authorizers = std::make_shared<Authorizers>();
  for (Mode mode : options.modes) authorizers->push_back({mode, nullptr});
  auto believed = std::make_shared<Believed>();
  believed->anonymous = options.anonymous;
  auto live = std::make_shared<LivePolicy>();
  live->authorizers = std::move(authorizers);
  live->believed = std::move(believed);
  return live;
}

}  // namespace

Auth::Auth(Store* store, AuthOptions options) : state_(std::make_unique<State>()) {
  static std::atomic<uint64_t> instances{0};
  state_->instance = ++instances;
  state_->store = store;
  state_->options = std::move(options);
  state_->live = state_->options.live ? state_->options.live : as_options_say(state_->options);
  state_->proxy_roots = net::certificate_fingerprints(state_->options.front_proxy.ca_pem);
  state_->user_roots = net::certificate_fingerprints(state_->options.client_ca_pem);
  refresh();
}
Auth::~Auth() = default;

void Auth::refresh() { state_->index.store(RbacIndex::build(*state_->store->snapshot())); }

Task<void> Auth::run(Context ctx) {
  // One prefix covers clusterroles and clusterrolebindings, the other roles and rolebindings.
  constexpr std::string_view kPrefixes[] = {"/registry/clusterrole", "/registry/role"};
  TaskGroup group(ctx.loop());
  for (std::string_view p : kPrefixes) {
    group.spawn(follow(ctx, state_->store, std::string(p), [this] { refresh(); }));
  }
  co_await group.join();
}

Status Auth::prepare_token(std::string_view ns, std::string_view service_account, Document* request,
                           WallTime now) const {
  return prepare_token_request(state_->options, *state_->store->snapshot(), ns, service_account,
                               request, now);
}

Result<IssuedToken> Auth::issue_token(std::string_view ns, std::string_view service_account,
                                      Document request, WallTime now) const {
  return issue_service_account_token(state_->options, *state_->store->snapshot(), ns,
                                     service_account, std::move(request), now);
}

std::string Auth::jwks() const { return net::jwks(state_->options.keys); }

std::optional<std::string> Auth::openid_configuration() const {
  const std::string& issuer = state_->options.issuer;
  if (!issuer.starts_with("https://") || issuer.find_first_of("?#") != issuer.npos) {
    return std::nullopt;
  }
  const std::string& elsewhere = state_->options.tokens.jwks_uri;
  std::string out = "{\"issuer\":";
  write_json_string(out, issuer);
  out += ",\"jwks_uri\":";
  write_json_string(out, elsewhere.empty() ? issuer + "/openid/v1/jwks" : elsewhere);
  out +=
      ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],"
      "\"id_token_signing_alg_values_supported\":[";
  std::vector<std::string_view> names;
  for (const auto& k : state_->options.keys) {
    if (std::find(names.begin(), names.end(), k->algorithm_name()) != names.end()) continue;
    if (!names.empty()) out += ',';
    names.push_back(k->algorithm_name());
    write_json_string(out, k->algorithm_name());
  }
  return out + "]}";
}

Result<net::SigningKeys> load_signing_keys(const std::string& directory) {
  std::string path = directory + "/sa.key";
  auto text = read_file(path);
  if (text.ok()) {
    auto key = net::SigningKey::from_pem(*text);
    if (!key.ok()) return key.status().with_prefix(path);
    return net::SigningKeys{*key};
  }
  if (!text.status().is(Reason::kNotFound)) return text.status();
  TRY_ASSIGN(key, net::SigningKey::generate(net::SigningKey::Algorithm::kEs256));
  TRY(make_directories(directory, 0700));
  TRY(write_file(path, key->private_pem(), 0600, true));
  TRY(write_file(directory + "/sa.pub", key->public_pem(), 0644, true));
  return net::SigningKeys{key};
}

void add_key(const net::SigningKeys::value_type& key, net::SigningKeys* keys) {
  const bool known =
      std::any_of(keys->begin(), keys->end(), [&](const auto& k) { return k->id() == key->id(); });
  if (!known) keys->push_back(key);
}

Result<net::SigningKeys> read_keys(const std::vector<std::string>& files) {
  net::SigningKeys out;
  for (const std::string& file : files) {
    TRY_ASSIGN(text, read_file(file));
    size_t found = 0;
    for (const net::PemBlock& block : net::pem_blocks(text)) {
      if (block.label == "EC PARAMETERS") continue;  // which stand before a key, and in it
      auto key = net::SigningKey::from_pem(block.text);
      if (!key.ok()) return key.status().with_prefix(file);
      add_key(*key, &out);
      ++found;
    }
    if (found == 0) return Status::bad_request(file + ": no key found");
  }
  return out;
}

Result<std::map<std::string, Caller>> parse_token_file(std::string_view text) {
  std::map<std::string, Caller> out;
  int number = 0;
  while (!text.empty()) {
    ++number;
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (char c : line) {
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    if (fields.size() < 3 || fields[0].empty() || quoted) {
      return Status::bad_request("token file line " + std::to_string(number) +
                                 ": expected token,user,uid[,\"group1,group2\"]");
    }
    Caller c;
    c.name = fields[1];
    c.uid = fields[2];
    const std::string_view groups = fields.size() > 3 ? std::string_view(fields[3]) : "";
    for (std::string_view group : split_list(groups))
      if (!group.empty()) c.groups.emplace_back(group);
    out[fields[0]] = std::move(c);
  }
  return out;
}

}  // namespace keles::auth
