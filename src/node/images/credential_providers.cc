#include "node/images/credential_providers.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::node {
namespace {

constexpr size_t kMaxConfig = 1 << 20, kMaxAnswer = 1 << 20, kMaxProviders = 100;
constexpr size_t kMaxCached = 1000;
constexpr Duration kLongest = 60s;
constexpr std::string_view kConfigGroup = "kubelet.config.k8s.io/";
constexpr std::string_view kCallGroup = "credentialprovider.kubelet.k8s.io/";

bool is_version(std::string_view text, std::string_view group) {
  if (!text.starts_with(group)) return false;
  text.remove_prefix(group.size());
  return text == "v1" || text == "v1beta1" || text == "v1alpha1";
}

Status wrong(const std::string& where, const std::string& what) {
  return Status::bad_request(where + ": " + what);
}

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

Result<CredentialProvider::TokenAttributes> token_attributes(const Value& v,
                                                             const std::string& where) {
  CredentialProvider::TokenAttributes out;
  out.audience = v["serviceAccountTokenAudience"].as_string();
  if (out.audience.empty()) return wrong(where + ".serviceAccountTokenAudience", "is required");
  std::string_view cache = v["cacheType"].as_string();
  if (cache != "Token" && cache != "ServiceAccount")
    return wrong(where + ".cacheType", "must be Token or ServiceAccount");
  out.by_token = cache == "Token";
  if (!v["requireServiceAccount"].is_bool())
    return wrong(where + ".requireServiceAccount", "is required");
  out.required = v["requireServiceAccount"].as_bool();
  out.required_annotations = texts(v["requiredServiceAccountAnnotationKeys"]);
  out.optional_annotations = texts(v["optionalServiceAccountAnnotationKeys"]);
  if (!out.required && !out.required_annotations.empty())
    return wrong(where + ".requiredServiceAccountAnnotationKeys",
                 "cannot be given unless requireServiceAccount is true");
  for (const std::string& key : out.required_annotations)
    if (std::count(out.optional_annotations.begin(), out.optional_annotations.end(), key))
      return wrong(where, "the annotation " + key + " is both required and optional");
  return out;
}

Result<CredentialProvider> provider_of(const Value& v, const std::string& where) {
  CredentialProvider out;
  out.name = v["name"].as_string();
  if (out.name.empty()) return wrong(where + ".name", "is required");
  if (out.name == "." || out.name == ".." || out.name.find_first_of("/ \t\n") != std::string::npos)
    return wrong(where + ".name", "must be the name of a program");
  out.match_images = texts(v["matchImages"]);
  if (out.match_images.empty()) return wrong(where + ".matchImages", "is required");
  const Value& cache = v["defaultCacheDuration"];
  if (!cache.is_string()) return wrong(where + ".defaultCacheDuration", "is required");
  auto duration = parse_duration(cache.as_string());
  if (!duration.ok() || duration->count() < 0)
    return wrong(where + ".defaultCacheDuration", "must be a duration of 0 or more");
  out.default_cache = *duration;
  out.api_version = v["apiVersion"].as_string();
  if (!is_version(out.api_version, kCallGroup))
    return wrong(where + ".apiVersion", "\"" + out.api_version + "\" is none that is spoken here");
  out.args = texts(v["args"]);
  for (const Value& e : v["env"].items())
    out.env.emplace_back(std::string(e["name"].as_string()), std::string(e["value"].as_string()));
  const Value& token = v["tokenAttributes"];
  if (token.is_null()) return Result<CredentialProvider>(std::move(out));
  if (!out.api_version.ends_with("/v1"))
    return wrong(where + ".tokenAttributes", "is of apiVersion " + std::string(kCallGroup) + "v1");
  TRY_ASSIGN(attributes, token_attributes(token, where + ".tokenAttributes"));
  out.token = std::move(attributes);
  return Result<CredentialProvider>(std::move(out));
}

std::string registry_of(std::string_view image) {
  const std::string repository = repository_of(image);
  return repository.substr(0, repository.find('/'));
}

void add_field(std::string& json, std::string_view name, std::string_view value) {
  json += json.size() > 1 ? ",\"" : "\"";
  json += std::string(name) + "\":";
  write_json_string(json, value);
}

Task<Result<std::string>> run_program(Context ctx, ProviderCall call) {
  ProcessOptions o;
  o.argv = {std::move(call.program)};
  o.argv.insert(o.argv.end(), call.args.begin(), call.args.end());
  for (char** e = environ; *e; ++e) o.env.emplace_back(*e);
  for (const auto& [name, value] : call.env) o.env.push_back(name + "=" + value);
  o.stdin_data = std::move(call.input);
  o.max_output_bytes = kMaxAnswer + 1;
  Context limit = ctx.with_timeout(kLongest);
  auto ended = co_await run_process(limit, std::move(o));
  if (!ended.ok() && limit.done() && !ctx.done())
    co_return Status(Reason::kTimeout, "it did not answer within a minute");
  if (!ended.ok()) co_return ended.status();
  if (ended->exit_code != 0) {
    co_return Status(Reason::kUnknown,
                     "it ended with exit code " + std::to_string(ended->exit_code));
  }
  if (ended->out.size() > kMaxAnswer)
    co_return Status(Reason::kRequestEntityTooLarge, "it answers with more than 1 MiB");
  co_return std::move(ended->out);
}

}  // namespace

RunProvider run_provider_program() { return run_program; }

Result<std::vector<CredentialProvider>> parse_credential_providers(std::string_view text) {
  if (text.size() > kMaxConfig) return Status::bad_request("the configuration is too large");
  TRY_ASSIGN(doc, parse_yaml(text));
  const Value& root = doc.root;
  if (root["kind"].as_string() != "CredentialProviderConfig" ||
      !is_version(root["apiVersion"].as_string(), kConfigGroup))
    return Status::bad_request("it is no CredentialProviderConfig of kubelet.config.k8s.io/v1");
  const Value& list = root["providers"];
  if (list.items().empty()) return wrong("providers", "at least 1 item is required");
  if (list.items().size() > kMaxProviders) return wrong("providers", "there are too many");
  std::vector<CredentialProvider> out;
  std::set<std::string> names;
  for (size_t i = 0; i < list.items().size(); ++i) {
    const std::string where = "providers[" + std::to_string(i) + "]";
    TRY_ASSIGN(provider, provider_of(list.items()[i], where));
    if (!names.insert(provider.name).second)
      return wrong(where + ".name", "\"" + provider.name + "\" is there twice");
    out.push_back(std::move(provider));
  }
  return Result<std::vector<CredentialProvider>>(std::move(out));
}

Result<std::vector<CredentialProvider>> read_credential_providers(const std::string& path,
                                                                  const std::string& bin_dir) {
  std::vector<std::string> files{path};
  if (auto names = list_directory(path); names.ok()) {
    files.clear();
    for (const std::string& n : *names)
      if (n.ends_with(".json") || n.ends_with(".yaml") || n.ends_with(".yml"))
        files.push_back(path + "/" + n);
    if (files.empty()) return Status::bad_request("no configuration of providers is in " + path);
  }
  if (!list_directory(bin_dir).ok())
    return Status::bad_request("plugin binary directory " + bin_dir + " did not exist");
  std::vector<CredentialProvider> out;
  for (const std::string& file : files) {
    TRY_ASSIGN(text, read_file(file, kMaxConfig));
    auto some = parse_credential_providers(text);
    if (!some.ok()) return some.status().with_prefix(file);
    for (CredentialProvider& p : *some) {
      const bool twice = std::any_of(out.begin(), out.end(),
                                     [&](const auto& other) { return other.name == p.name; });
      if (twice) return wrong(file, "the provider " + p.name + " is there twice");
      const std::string program = bin_dir + "/" + p.name;
      if (::access(program.c_str(), X_OK) != 0)
        return Status::bad_request("plugin binary executable " + program + " did not exist");
      out.push_back(std::move(p));
    }
  }
  return Result<std::vector<CredentialProvider>>(std::move(out));
}

Result<ProviderAnswer> parse_provider_answer(std::string_view json, std::string_view api_version) {
  if (json.size() > kMaxAnswer) return Status::bad_request("the answer is too large");
  TRY_ASSIGN(doc, parse_json(json));
  const Value& root = doc.root;
  if (root["kind"].as_string() != "CredentialProviderResponse")
    return Status::bad_request("the answer is no CredentialProviderResponse");
  if (root["apiVersion"].as_string() != api_version)
    return Status::bad_request(
        "apiVersion from credential plugin response did not match expected "
        "apiVersion:" +
        std::string(api_version));
  ProviderAnswer out;
  std::string_view scope = root["cacheKeyType"].as_string();
  if (scope == "Registry") {
    out.scope = ProviderAnswer::Scope::kRegistry;
  } else if (scope == "Global") {
    out.scope = ProviderAnswer::Scope::kGlobal;
  } else if (scope != "Image") {
    return Status::bad_request("cacheKeyType \"" + std::string(scope) +
                               "\" is not one of Image, "
                               "Registry and Global");
  }
  const Value& cache = root["cacheDuration"];
  if (cache.is_string()) {
    TRY_ASSIGN(duration, parse_duration(cache.as_string()));
    out.cache = duration;
  }
  out.auths = "{\"auths\":{}}";
  if (const Value& auth = root["auth"]; auth.is_map())
    out.auths = "{\"auths\":" + to_json(auth) + "}";
  return Result<ProviderAnswer>(std::move(out));
}

CredentialProviders::CredentialProviders(std::vector<CredentialProvider> providers,
                                         std::string bin_dir, RunProvider run)
    : providers_(std::move(providers)), bin_dir_(std::move(bin_dir)), run_(std::move(run)) {}

Task<std::vector<RegistryCredential>> CredentialProviders::lookup(Context ctx, std::string image,
                                                                  PodAccount who) {
  std::vector<RegistryCredential> out;
  const std::string repository = repository_of(image);
  for (const CredentialProvider& p : providers_) {
    bool wanted = false;
    for (const std::string& match : p.match_images)
      wanted = wanted || registry_matches(match, repository);
    if (!wanted) continue;
    auto keys = co_await ask(ctx, &p, image, who);
    if (ctx.done()) break;
    if (!keys.ok()) {
      log::warn("A credential provider has none for an image",
                {{"provider", p.name}, {"image", image}, {"error", keys.status()}});
      continue;
    }
    std::vector<RegistryCredential> its = keys->lookup(image);
    out.insert(out.end(), its.begin(), its.end());
  }
  co_return out;
}

Task<Result<Keyring>> CredentialProviders::ask(Context ctx, const CredentialProvider* provider,
                                               std::string image, PodAccount who) {
  const CredentialProvider& p = *provider;
  std::string request = "{", about = p.name + "\n";  // whose answer it is, in the cache
  add_field(request, "kind", "CredentialProviderRequest");
  add_field(request, "apiVersion", p.api_version);
  add_field(request, "image", image);
  CredentialSource source;
  if (p.token && who.name.empty()) {
    if (p.token->required) co_return Keyring();  // it is for pods with an account
  } else if (p.token) {
    std::map<std::string, std::string> annotations;
    TRY_ASSIGN_CO(facts, who.facts(ctx));
    std::map<std::string, std::string>& all = facts.annotations;
    for (const std::string& key : p.token->required_annotations) {
      if (!all.contains(key))
        co_return Status(Reason::kNotFound, "required annotation " + key + " not found");
      annotations[key] = all[key];
    }
    for (const std::string& key : p.token->optional_annotations)
      if (all.contains(key)) annotations[key] = all[key];
    TRY_ASSIGN_CO(token, who.token(ctx, p.token->audience));
    add_field(request, "serviceAccountToken", token);
    std::string list = "{";
    for (const auto& [key, value] : annotations) add_field(list, key, value);
    if (!annotations.empty()) request += ",\"serviceAccountAnnotations\":" + list + "}";
    // An account that was made anew under its name is another.
    about += facts.uid + " " + who.ns + "/" + who.name + list;
    if (p.token->by_token) about += net::hex(net::sha256(token));
    source = CredentialSource(facts.uid, who.ns, who.name, true);
  }
  about += "\n";
  const TimePoint now = ctx.loop().now();
  for (const std::string& scope : {image, registry_of(image), std::string("<global>")}) {
    auto known = cache_.find(about + scope);
    if (known != cache_.end() && now < known->second.until) co_return known->second.keys;
  }
  ProviderCall call;
  call.program = bin_dir_ + "/" + p.name;
  call.input = request + "}";
  call.args = p.args;
  call.env = p.env;
  TRY_ASSIGN_CO(text, run_(ctx, std::move(call)));
  auto answer = parse_provider_answer(text, p.api_version);
  if (!answer.ok()) co_return answer.status();
  Cached entry;
  entry.keys.add(answer->auths, source);
  const Duration lasts = answer->cache.value_or(p.default_cache);
  if (lasts.count() <= 0) co_return entry.keys;
  const TimePoint then = ctx.loop().now();
  entry.until = then + lasts;
  std::string scope = answer->scope == ProviderAnswer::Scope::kGlobal     ? "<global>"
                      : answer->scope == ProviderAnswer::Scope::kRegistry ? registry_of(image)
                                                                          : image;
  Keyring keys = entry.keys;
  keep(then, about + scope, std::move(entry));
  co_return keys;
}

void CredentialProviders::keep(TimePoint now, std::string key, Cached entry) {
  std::erase_if(cache_, [&](const auto& e) { return !(now < e.second.until); });
  if (cache_.size() >= kMaxCached) cache_.erase(cache_.begin());
  cache_.insert_or_assign(std::move(key), std::move(entry));
}

}  // namespace keles::node
