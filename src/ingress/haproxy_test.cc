// What is written for the proxy: by text, by HAProxy's own judgement, and by requests.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "ingress/haproxy_config.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

std::string haproxy() {
  for (const char* p : {"/usr/sbin/haproxy", "/usr/local/sbin/haproxy"})
    if (::access(p, X_OK) == 0) return p;
  return "";
}

net::TlsIdentity identity(const std::string& name) {
  net::CertificateSpec spec;
  spec.common_name = name;
  spec.dns_names = {name};
  spec.server = true;
  spec.not_before = WallTime{} + std::chrono::seconds(1'700'000'000);
  spec.not_after = WallTime{} + std::chrono::seconds(4'000'000'000);
  auto ca = net::make_ca(spec);
  return *net::issue_certificate(*ca, spec);
}

// Judged by HAProxy itself: its complaints, "" for none.
std::string refused(const ProxyFiles& files, const std::string& place) {
  for (const auto& [name, content] : files)
    EXPECT_TRUE(write_file(place + "/" + name, content, 0600).ok());
  const std::string command = haproxy() + " -c -q -f " + place + "/haproxy.cfg 2>&1";
  FILE* p = ::popen(command.c_str(), "re");
  std::string out;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, p)) out += buffer;
  const int code = ::pclose(p);
  return code == 0 ? "" : out + " exit " + std::to_string(code);
}

RoutingTable sample() {
  RoutingTable t;
  const BackendName web = *backend_name("shop", "web", 80), grpc = *backend_name("shop", "g", 9000);
  Target four, six;
  four.address = *IpAddress::parse("10.244.1.7");
  four.port = 8080;
  six.address = *IpAddress::parse("fd00::7");
  six.port = 8080;
  t.backends[web].targets = {four, six};
  t.backends[grpc].http2 = true;
  t.backends[grpc].targets = {four};
  t.backends[*backend_name("shop", "gone", 80)];
  t.exact[{*Host::parse("shop.example.com"), "/a"}] = web;
  t.prefix[{*Host::parse("*.example.com"), Path::parse("/b")->elements()}] = grpc;
  t.prefix[{Host(), "/"}] = web;
  t.defaults[Host()] = web;
  Certificate c;
  c.hosts = {*Host::parse("shop.example.com"), *Host::parse("*.example.com")};
  c.identity = identity("shop.example.com");
  t.certificates = {c, c};
  c.hosts.clear();
  t.certificates.push_back(c);
  return t;
}

TEST(HaproxyConfig, ATableBecomesMapsAndBackends) {
  ProxyOptions options;
  options.fallback = identity("ingress.local");
  ProxyFiles files = write_proxy_files(sample(), options, "/place");
  EXPECT_EQ(files["exact.map"], "shop.example.com/a shop:web:80\n");
  EXPECT_EQ(files["prefix.map"], "/ shop:web:80\n.example.com/b/ shop:g:9000\n");
  EXPECT_EQ(files["defaults.map"], "* shop:web:80\n");
  EXPECT_EQ(files["certificates-443.list"],
            "/place/fallback.pem\n"
            "/place/certificate-443-0.pem shop.example.com *.example.com\n"
            "/place/certificate-443-1.pem\n")
      << "the second one's hosts are taken";
  const std::string& cfg = files["haproxy.cfg"];
  EXPECT_NE(cfg.find("\nbackend shop:web:80\n  balance roundrobin\n"
                     "  server 10.244.1.7:8080 10.244.1.7:8080\n"
                     "  server fd00::7:8080 [fd00::7]:8080\n"),
            std::string::npos)
      << cfg;
  EXPECT_NE(cfg.find("server 10.244.1.7:8080 10.244.1.7:8080 proto h2\n"), std::string::npos);
  EXPECT_EQ(cfg.find('@'), std::string::npos) << "a place that was not filled in";
  // What a client says of where it comes from goes, at either port, before anybody reads it.
  for (const char* frontend : {"\nfrontend http\n", "\nfrontend https\n"}) {
    const size_t begin = cfg.find(frontend);
    ASSERT_NE(begin, std::string::npos) << frontend;
    const size_t gone = cfg.find("http-request del-header X-Forwarded-For\n", begin);
    EXPECT_LT(gone, cfg.find("http-request set-var", begin)) << frontend;
    EXPECT_LT(cfg.find("http-request set-header X-Real-IP %[src]\n", begin),
              cfg.find("http-request set-var", begin));
  }
}

TEST(HaproxyConfig, EachListenersPortHasOneOfThePod) {
  ProxyOptions o;
  const std::pair<uint16_t, uint16_t> rows[] = {
      {80, 8080},    {443, 8443},   {81, 64081},    {1023, 65023},  {1024, 1024}, {8000, 8000},
      {8080, 65024}, {8443, 65025}, {10254, 65026}, {63999, 63999}, {1, 64001}};
  std::set<uint16_t> taken;
  for (const auto& [listener, inner] : rows) {
    EXPECT_EQ(o.inner_port(listener), inner);
    EXPECT_TRUE(taken.insert(inner).second) << inner;
  }
}

TEST(HaproxyConfig, HaproxyTakesIt) {
  if (haproxy().empty()) GTEST_SKIP() << "there is no haproxy";
  auto made = TemporaryDirectory::make("keles-haproxy");
  const TemporaryDirectory& place = *made;
  ProxyOptions options;
  options.directory = place.path();
  options.fallback = identity("ingress.local");
  EXPECT_EQ(refused(write_proxy_files(sample(), options, place.path()), place.path()), "");
  EXPECT_EQ(refused(write_proxy_files(RoutingTable(), options, place.path()), place.path()), "");
}

TEST(HaproxyConfig, HaproxyJudgesCertificates) {
  if (haproxy().empty()) GTEST_SKIP() << "there is no haproxy";
  auto made = TemporaryDirectory::make("keles-haproxy");
  const TemporaryDirectory& place = *made;
  net::TlsIdentity good = identity("a.example.com");
  EXPECT_EQ(refused(write_certificate_check(good, place.path()), place.path()), "");
  good.key_pem = identity("b.example.com").key_pem;
  EXPECT_NE(refused(write_certificate_check(good, place.path()), place.path()), "");
}

}  // namespace
}  // namespace keles::ingress
