// Tables of what becomes of Ingresses, and of what nobody may make of them.
#include "ingress/ingress_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/encoding.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "ingress/haproxy_config.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

using api::core_v1::Secret;
using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;
using api::networking_v1::Ingress;

TEST(Host, WhatIsOne) {
  struct Row {
    const char *text, *key;  // null: none
  } rows[] = {{"", ""},
              {"example.com", "example.com"},
              {"EXAMPLE.com", "example.com"},
              {"*.example.com", ".example.com"},
              {"a", "a"},
              {"*", nullptr},
              {"*.", nullptr},
              {"*.*.com", nullptr},
              {"a.*.com", nullptr},
              {".example.com", nullptr},
              {"example.com.", nullptr},
              {"example.com:80", nullptr},
              {"10.0.0.1", nullptr},
              {"::1", nullptr},
              {"a b.com", nullptr},
              {"a\nb.com", nullptr},
              {"a/b", nullptr},
              {"a#b", nullptr},
              {"-a.com", nullptr},
              {"a_b.com", nullptr},
              {"%[src]", nullptr},
              {"\xc3\xa9.com", nullptr}};
  for (const Row& r : rows) {
    const auto host = Host::parse(r.text);
    EXPECT_EQ(host.has_value(), r.key != nullptr) << r.text;
    if (host && r.key) {
      EXPECT_EQ(host->key(), r.key) << r.text;
    }
  }
  EXPECT_FALSE(Host::parse(std::string(64, 'a')).has_value());
}

TEST(Path, IsWhatCanBeOnTheWire) {
  struct Row {
    const char *text, *path, *elements;
  } rows[] = {{"/", "/", "/"},
              {"/a", "/a", "/a/"},
              {"/a/", "/a/", "/a/"},
              {"/a b", "/a%20b", "/a%20b/"},
              {"/a%20b", "/a%20b", "/a%20b/"},
              {"/a\nbackend evil", "/a%0Abackend%20evil", "/a%0Abackend%20evil/"},
              {"/#", "/%23", "/%23/"},
              {"/\"'\\", "/%22'%5C", "/%22'%5C/"},
              {"/$HOME", "/$HOME", "/$HOME/"},
              {"/\xc3\xa9", "/%C3%A9", "/%C3%A9/"}};
  for (const Row& r : rows) {
    const auto path = Path::parse(r.text);
    ASSERT_TRUE(path.has_value()) << r.text;
    EXPECT_EQ(path->text(), r.path);
    EXPECT_EQ(path->elements(), r.elements);
  }
  EXPECT_FALSE(Path::parse("").has_value());
  EXPECT_FALSE(Path::parse("a").has_value());
  EXPECT_FALSE(Path::parse("/" + std::string(Path::kMaxBytes, 'a')).has_value());
  EXPECT_FALSE(Path::parse("/" + std::string(Path::kMaxBytes / 2, ' ')).has_value());
}

// A cluster of objects in YAML.
class Plans : public ::testing::Test {
 protected:
  void put(const std::string& yaml) { client_.put_yaml(yaml); }
  // In the order in which they are put: one second apart.
  void ingress(const std::string& name, const std::string& spec, const std::string& ns = "default",
               const std::string& more = "") {
    put("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: " + name +
        ", namespace: " + ns + more + "}, spec: {" + spec + "}}");
    loop_.advance(1s);
  }
  void service(const std::string& name, const std::string& ports, const std::string& more = "") {
    put("{apiVersion: v1, kind: Service, metadata: {name: " + name +
        ", namespace: default}, spec: {ports: [" + ports + "]" + more + "}}");
  }
  IngressPlan plan() {
    Cluster c;
    c.ingresses = client_.all<Ingress>();
    c.classes = {"keles"};
    using Name = Cluster::Name;
    c.service = [this](Name ns, Name name) { return client_.now<Service>(ns, name); };
    c.tls_secret = [this](Name ns, Name name) { return client_.now<Secret>(ns, name); };
    c.slices = [this](Name ns, Name name) {
      std::vector<Ref<EndpointSlice>> out;
      for (auto& s : client_.all<EndpointSlice>(ns))
        if (s->metadata().labels().get("kubernetes.io/service-name") == name) out.push_back(s);
      return out;
    };
    return plan_ingresses(c);
  }
  static std::vector<std::string> routes(const RoutingTable& t) {
    std::vector<std::string> out;
    for (const auto& [k, b] : t.exact)
      out.push_back("= " + k.first.text() + k.second + " " + b.text());
    for (const auto& [k, b] : t.prefix)
      out.push_back("^ " + k.first.text() + k.second + " " + b.text());
    for (const auto& [h, b] : t.defaults) out.push_back("* " + h.text() + " " + b.text());
    return out;
  }
  static std::vector<std::string> told(const IngressPlan& p) {
    std::vector<std::string> out;
    for (const Problem& q : p.problems)
      out.push_back(q.ns + "/" + q.name + " " + q.reason + ": " + q.message);
    return out;
  }

  using Texts = std::vector<std::string>;
  SimLoop loop_{1};
  FakeClient client_{loop_};
};

std::string path(const char* path, const char* type, const char* service, const char* port = "80") {
  return std::string("{path: ") + path + ", pathType: " + type +
         ", backend: {service: {name: " + service + ", port: {number: " + port + "}}}}";
}

TEST_F(Plans, PathsOfHosts) {
  service("web", "{port: 80}");
  service("api", "{port: 80}, {name: named, port: 81}");
  ingress("a",
          "ingressClassName: keles, rules: [{host: Example.com, http: {paths: [" +
              path("/", "Prefix", "web") + "," + path("/api", "Exact", "api") + "," +
              path("/api/", "Prefix", "api") + "," + path("/any", "ImplementationSpecific", "api") +
              "]}}, {host: '*.b.com', http: {paths: [" +
              "{path: /n, pathType: Prefix, backend: {service: {name: api, port: {name: named}}}}" +
              "]}}, {http: {paths: [" + path("/free", "Prefix", "web") + "]}}]");
  IngressPlan p = plan();
  EXPECT_EQ(told(p), Texts());
  EXPECT_EQ(routes(p.table),
            (Texts{"= example.com/api default:api:80", "^ /free/ default:web:80",
                   "^ *.b.com/n/ default:api:81", "^ example.com/ default:web:80",
                   "^ example.com/any/ default:api:80", "^ example.com/api/ default:api:80"}));
}

TEST_F(Plans, OnlyThoseOfOurClasses) {
  service("web", "{port: 80}");
  const std::string rule = "rules: [{http: {paths: [" + path("/", "Prefix", "web") + "]}}]";
  ingress("others", "ingressClassName: nginx, " + rule);
  ingress("nobodys", rule);
  EXPECT_EQ(routes(plan().table), Texts());
  ingress("old-style", rule, "default", ", annotations: {kubernetes.io/ingress.class: keles}");
  EXPECT_EQ(routes(plan().table), Texts{"^ / default:web:80"});
}

TEST_F(Plans, DefaultsAreForItsHostsAndForNobodys) {
  service("web", "{port: 80}");
  service("other", "{port: 80}");
  ingress("a",
          "ingressClassName: keles, defaultBackend: {service: {name: web, port: {number: 80}}}, "
          "rules: [{host: a.com, http: {paths: [" +
              path("/x", "Prefix", "other") + "]}}]");
  ingress("b",
          "ingressClassName: keles, defaultBackend: {service: {name: other, port: {number: 80}}}");
  EXPECT_EQ(routes(plan().table),
            (Texts{"^ a.com/x/ default:other:80", "*  default:web:80", "* a.com default:web:80"}))
      << "the older one has what belongs to nobody";
}

TEST_F(Plans, TheOlderHasAPathThatTwoWant) {
  service("web", "{port: 80}");
  service("other", "{port: 80}");
  const std::string head = "ingressClassName: keles, rules: [{host: a.com, http: {paths: [";
  ingress("z-first", head + path("/x", "Prefix", "web") + "]}}]");
  ingress("a-second", head + path("/x/", "Prefix", "other") + "]}}]");
  IngressPlan p = plan();
  EXPECT_EQ(routes(p.table), Texts{"^ a.com/x/ default:web:80"});
  EXPECT_EQ(told(p), Texts{"default/a-second Conflict: path \"/x/\" of host \"a.com\" leads to "
                           "service default/web already"});
}

TEST_F(Plans, WhatCannotBeHonouredIsTold) {
  service("web", "{port: 80}, {port: 53, protocol: UDP}");
  service("away", "{port: 80}", ", type: ExternalName, externalName: example.com");
  ingress("a",
          "ingressClassName: keles, tls: [{hosts: [a.com], secretName: none}], "
          "rules: [{host: a.com, http: {paths: [" +
              path("/gone", "Prefix", "gone") + "," + path("/port", "Prefix", "web", "81") + "," +
              path("/udp", "Prefix", "web", "53") + "," + path("/away", "Prefix", "away") +
              ",{path: /r, pathType: Exact, backend: {resource: {kind: Bucket, name: b}}}]}}]");
  IngressPlan p = plan();
  EXPECT_EQ(
      told(p),
      (Texts{"default/a NotSupported: backends that are resources are not supported",
             "default/a NotSupported: service \"away\" is of type ExternalName",
             "default/a PortNotFound: service \"web\" has no such port",
             "default/a SecretNotFound: no secret \"none\" of type kubernetes.io/tls was found",
             "default/a ServiceNotFound: service \"gone\" not found"}));
  // Their paths answer 503: they are nobody else's.
  EXPECT_EQ(routes(p.table),
            (Texts{"^ a.com/away/ default:away:80", "^ a.com/gone/ default:gone:80",
                   "^ a.com/port/ default:web:81", "^ a.com/udp/ default:web:53"}));
  EXPECT_EQ(p.table.backends.at(*backend_name("default", "gone", 80)), Backend());
}

TEST_F(Plans, EndpointsThatAreReadyElseThoseThatStillServe) {
  service("web", "{name: http, port: 80, appProtocol: kubernetes.io/h2c}");
  ingress("a", "ingressClassName: keles, rules: [{http: {paths: [" + path("/", "Prefix", "web") +
                   "]}}]");
  auto slice = [&](const std::string& first_ready) {
    put("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: "
        "{name: web-1, "
        "namespace: default, labels: {kubernetes.io/service-name: web}}, ports: [{name: http, "
        "port: "
        "8080}, {name: other, port: 1}], endpoints: [{addresses: [10.0.0.2], conditions: {ready: " +
        first_ready +
        ", serving: true, terminating: true}}, {addresses: [10.0.0.1], conditions: "
        "{ready: false, serving: true, terminating: true}}, {addresses: [10.0.0.3], conditions: "
        "{ready: false, serving: false}}, {addresses: ['bad 1.1.1.1'], conditions: {}}]}");
    Texts out;
    const IngressPlan p = plan();
    const Backend& b = p.table.backends.begin()->second;
    EXPECT_TRUE(b.http2);
    for (const Target& t : b.targets)
      out.push_back(t.address.text() + " " + std::to_string(t.port));
    return out;
  };
  EXPECT_EQ(slice("true"), Texts{"10.0.0.2 8080"});
  EXPECT_EQ(slice("false"), (Texts{"10.0.0.1 8080", "10.0.0.2 8080"}));
}

TEST_F(Plans, CertificatesAreMadeOfWhatWasParsed) {
  net::CertificateSpec spec;
  spec.common_name = "a.com";
  spec.dns_names = {"a.com"};
  spec.server = true;
  spec.not_before = loop_.wall_now();
  spec.not_after = loop_.wall_now() + 24h;
  const auto ca = net::make_ca(spec);
  const auto good = net::issue_certificate(*ca, spec), other = net::issue_certificate(*ca, spec);
  auto secret = [&](const std::string& name, const std::string& crt, const std::string& key) {
    put("{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: " + name +
        ", namespace: default}, data: {tls.crt: '" + base64_encode(crt) + "', tls.key: '" +
        base64_encode(key) + "'}}");
  };
  struct Row {
    const char* name;
    std::string crt, key;
    bool good;
  } rows[] = {
      {"plain", good->certificate_pem, good->key_pem, true},
      {"noise", "hello\n" + good->certificate_pem + "\nuser haproxy\n", good->key_pem + "x", true},
      {"chain", good->certificate_pem + ca->certificate_pem, good->key_pem, true},
      {"mixed", good->certificate_pem, other->key_pem, false},
      {"empty", "", good->key_pem, false},
      {"two-keys", good->certificate_pem, good->key_pem + other->key_pem, false},
      {"garbled", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good->key_pem,
       false},
      {"bad-chain",
       good->certificate_pem + "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
       good->key_pem, false}};
  for (const Row& r : rows) {
    secret(r.name, r.crt, r.key);
    const auto s = client_.now<Secret>("default", r.name);
    const auto identity = identity_of(*s);
    EXPECT_EQ(identity.ok(), r.good) << r.name;
    if (!identity.ok()) continue;
    EXPECT_EQ(identity->key_pem, good->key_pem) << r.name;
    EXPECT_TRUE(identity->certificate_pem.starts_with("-----BEGIN CERTIFICATE-----")) << r.name;
    EXPECT_EQ(identity->certificate_pem.find("haproxy"), std::string::npos);
  }
  ingress("a",
          "ingressClassName: keles, tls: [{hosts: ['*.a.com', a.com], secretName: plain}, "
          "{hosts: ['a b'], secretName: plain}, {secretName: chain}, {hosts: [c.com]}]");
  const IngressPlan p = plan();
  ASSERT_EQ(p.table.certificates.size(), 2u);
  EXPECT_EQ(p.table.certificates[0].hosts.size(), 2u);
  EXPECT_EQ(p.table.certificates[1].hosts.size(), 0u);
  EXPECT_EQ(told(p), Texts{"default/a InvalidHost: TLS host \"a b\" is no DNS name"});
}

// Whatever an Ingress says, a line of a map is a key, a blank and a backend.
TEST_F(Plans, HostileTextsStayInTheirPlaces) {
  service("web", "{port: 80}");
  const char* hostile[] = {"/a\\nbackend evil\\n  server e 1.2.3.4:80",
                           "/ x:y:1",
                           "/\\t\\r\\n",
                           "/%[env(PATH)]",
                           "/${HOME}",
                           "/'\\\"\\\\",
                           "/#c",
                           "/\\u0000x",
                           "//a"};
  std::string paths;
  for (const char* h : hostile)
    paths +=
        (paths.empty() ? "" : ",") + path(("\"" + std::string(h) + "\"").c_str(), "Prefix", "web");
  ingress("a", "ingressClassName: keles, rules: [{http: {paths: [" + paths +
                   "]}}, {host: \"a\\nb c\", http: {paths: [" + path("/", "Prefix", "web") +
                   "]}}]");
  ProxyFiles files = write_proxy_files(plan().table, ProxyOptions(), "/place");
  const std::string& map = files["prefix.map"];
  EXPECT_EQ(std::count(map.begin(), map.end(), '\n'), 9);
  for (size_t at = 0; at < map.size();) {
    const size_t end = map.find('\n', at);
    const std::string line = map.substr(at, end - at);
    EXPECT_EQ(std::count(line.begin(), line.end(), ' '), 1) << line;
    EXPECT_TRUE(line.starts_with('/') && line.ends_with("/ default:web:80")) << line;
    at = end + 1;
  }
  ProxyFiles plain;
  {
    RoutingTable only;
    only.backends[*backend_name("default", "web", 80)];
    plain = write_proxy_files(only, ProxyOptions(), "/place");
  }
  EXPECT_EQ(files["haproxy.cfg"], plain["haproxy.cfg"]) << "the configuration has none of it";
}

}  // namespace
}  // namespace keles::ingress
