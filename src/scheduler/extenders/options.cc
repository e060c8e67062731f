#include "scheduler/extenders/options.h"

#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "machinery/time.h"
#include "machinery/validation.h"

namespace keles::scheduler {
namespace {

// PEM that stands in the configuration, or else in a file that it names.
Result<std::string> pem_of(const ConfigFile& file, const Value& tls, const std::string& at,
                           const std::string& name) {
  if (const Value& data = tls[name + "Data"]; !data.as_string().empty()) {
    auto pem = base64_decode(data.as_string());
    if (!pem.ok()) return file.error(at + "." + name + "Data", "is not base64");
    return pem;
  }
  const std::string path(tls[name + "File"].as_string());
  if (path.empty()) return std::string();
  auto pem = read_file(path, size_t{1} << 20);
  if (!pem.ok()) return file.error(at + "." + name + "File", pem.status().message());
  return pem;
}

Result<net::ClientTls> read_tls(const ConfigFile& file, const Value& extender,
                                const std::string& at) {
  const Value& tls = extender["tlsConfig"];
  const std::string here = at + ".tlsConfig";
  net::ClientTls out;
  out.insecure = tls["insecure"].as_bool();
  out.server_name = tls["serverName"].as_string();
  TRY_ASSIGN(ca, pem_of(file, tls, here, "ca"));
  out.ca_pem = std::move(ca);
  if (out.insecure && !out.ca_pem.empty()) {
    return file.error(here + ".insecure",
                      "specifying a root certificates file with the insecure flag is not allowed");
  }
  // As upstream: who asks for HTTPS and names no authority trusts whoever answers.
  if (extender["enableHTTPS"].as_bool() && out.ca_pem.empty()) out.insecure = true;
  TRY_ASSIGN(certificate, pem_of(file, tls, here, "cert"));
  TRY_ASSIGN(key, pem_of(file, tls, here, "key"));
  if (certificate.empty() != key.empty()) {
    return file.error(here + (key.empty() ? ".certFile" : ".keyFile"),
                      "a client certificate and its key go together");
  }
  if (!key.empty()) {
    net::TlsIdentity identity;
    identity.certificate_pem = std::move(certificate);
    identity.key_pem = std::move(key);
    out.identity = std::move(identity);
  }
  return out;
}

// As ValidateExtendedResourceName: qualified, not of kubernetes.io, and fit for a quota's name.
std::string wrong_resource(const std::string& name) {
  const auto messages = check_qualified_name(name);
  if (!messages.empty()) return std::string(messages.front());
  const bool native =
      name.find('/') == std::string::npos || name.find("kubernetes.io/") != std::string::npos;
  if (native || name.starts_with("requests.") || !check_qualified_name("requests." + name).empty())
    return "is an invalid extended resource name";
  return "";
}

Result<ExtenderOptions> read_one(const ConfigFile& file, const Value& e, const std::string& at) {
  ExtenderOptions out;
  out.url = e["urlPrefix"].as_string();
  auto place = read_extender_url(out.url);
  if (!place.ok()) return file.error(at + ".urlPrefix", place.status().message());
  out.filter_verb = e["filterVerb"].as_string();
  out.prioritize_verb = e["prioritizeVerb"].as_string();
  out.preempt_verb = e["preemptVerb"].as_string();
  out.bind_verb = e["bindVerb"].as_string();
  out.weight = e["weight"].as_int();
  if (!out.prioritize_verb.empty() && out.weight <= 0)
    return file.error(at + ".weight", "must have a positive weight applied to it");
  auto timeout = parse_duration(e["httpTimeout"].as_string());
  if (timeout.ok() && *timeout > Duration::zero()) out.timeout = *timeout;
  out.node_cache_capable = e["nodeCacheCapable"].as_bool();
  out.ignorable = e["ignorable"].as_bool();
  TRY_ASSIGN(tls, read_tls(file, e, at));
  out.tls = std::move(tls);
  return out;
}

}  // namespace

Result<ExtenderConfig> read_extenders(const ConfigFile& file, const Value& list) {
  ExtenderConfig out;
  std::set<std::string> managed;
  int binders = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const Value& e = list.items()[i];
    const std::string at = "extenders[" + std::to_string(i) + "]";
    TRY_ASSIGN(one, read_one(file, e, at));
    binders += one.bind_verb.empty() ? 0 : 1;
    size_t k = 0;
    for (const Value& r : e["managedResources"].items()) {
      const std::string here = at + ".managedResources[" + std::to_string(k++) + "].name";
      const std::string name(r["name"].as_string());
      if (std::string wrong = wrong_resource(name); !wrong.empty()) return file.error(here, wrong);
      if (!managed.insert(name).second)
        return file.error(here, "duplicate extender managed resource name");
      if (r["ignoredByScheduler"].as_bool()) out.ignored_resources.push_back(name);
      one.managed.insert(name);
    }
    out.extenders.push_back(std::move(one));
  }
  if (binders > 1) return file.error("extenders", "only one extender can implement bind");
  return out;
}

}  // namespace keles::scheduler
