// Zone: what the cluster's names mean
// (https://github.com/kubernetes/dns/blob/master/docs/specification.md, version 1.1.0): services,
// headless services, SRV, PTR, pods by address, ExternalName. Fed from informers, asked by the
// server; one loop's thread, never waits.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/ip.h"
#include "dns/message.h"

namespace keles::dns {

// The address that a name of in-addr.arpa or ip6.arpa is of.
std::optional<IpAddress> reverse_address(std::string_view name);

class Zone {
 public:
  explicit Zone(std::string domain = "cluster.local", uint32_t ttl_seconds = 30)
      : domain_(std::move(domain)), ttl_seconds_(ttl_seconds) {}
  const std::string& domain() const { return domain_; }
  void set_ttl(uint32_t seconds) { ttl_seconds_ = seconds; }

  void set_service(const api::core_v1::Service& service);
  void remove_service(std::string_view ns, std::string_view name);
  void set_slice(const api::discovery_v1::EndpointSlice& slice);
  void remove_slice(std::string_view ns, std::string_view name);
  void set_namespace(std::string_view name) { namespaces_.emplace(name); }
  void remove_namespace(std::string_view name);

  // Nothing when the name is not ours to answer (to be forwarded).
  std::optional<Answer> answer(std::string_view name, uint16_t type) const;

 private:
  struct Port {
    std::string name, protocol;  // protocol in lower case
    uint16_t port;
  };
  struct Service {
    std::vector<std::string> cluster_ips;  // empty: headless
    std::string external_name;
    std::vector<Port> ports;
  };
  struct Endpoint {
    std::string ip, hostname;  // hostname: the endpoint's own, or its address with dashes
    std::vector<Port> ports;
  };
  struct Slice {
    std::string service;  // "ns/name"
    std::vector<Endpoint> endpoints;
  };
  void follow(Answer& a, uint16_t type) const;
  Answer lookup(std::string_view name, std::string_view relative, uint16_t type) const;
  Answer service_answer(std::string_view asked, std::string_view ns, std::string_view name,
                        const std::vector<std::string_view>& labels, uint16_t type) const;
  Answer srv(std::string_view asked, std::string_view ns, std::string_view name, const Service& s,
             std::string_view port, std::string_view protocol) const;
  std::optional<Answer> reverse(std::string_view name, uint16_t type) const;
  std::vector<const Endpoint*> endpoints_of(std::string_view ns, std::string_view name) const;
  Record address(std::string_view name, const std::string& ip) const;
  Answer addresses(std::string_view asked, const std::vector<std::string>& ips,
                   uint16_t type) const;
  std::string service_name(std::string_view key) const;  // "ns/name" -> name.ns.svc.domain

  std::string domain_;
  uint32_t ttl_seconds_;
  std::map<std::string, Service, std::less<>> services_;                 // by ns/name
  std::map<std::string, Slice, std::less<>> slices_;                     // by ns/name
  std::map<std::string, std::set<std::string>, std::less<>> slices_of_;  // service -> slices
  std::map<std::string, std::set<std::string>, std::less<>>
      slices_with_;                                        // endpoint's IP -> slices
  std::map<std::string, std::string, std::less<>> by_ip_;  // cluster IP -> service
  std::set<std::string, std::less<>> namespaces_;
};

}  // namespace keles::dns
