// Regular expressions, URLs, addresses and networks, JSON patch paths.
#include <string>

#include "base/encoding.h"
#include "base/ip.h"
#include "cel/address_words.h"
#include "cel/libraries.h"
#include "cel/opaque.h"
#include "cel/pattern.h"
#include "cel/run.h"
#include "cel/url.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

// --- regular expressions -----------------------------------------------------------------------

Val find(Run& run, Args a) {
  const auto pattern = Pattern::compile(a[1].text());
  if (!pattern.ok()) return run.error("Illegal regex: " + pattern.status().message());
  return Val::string((*pattern)->find(a[0].text()));
}
Val find_all(Run& run, Args a) {
  const auto pattern = Pattern::compile(a[1].text());
  if (!pattern.ok()) return run.error("Illegal regex: " + pattern.status().message());
  return (*pattern)->find_all(run, a[0].text(), a.size() == 3 ? a[2].as_int() : -1);
}

// --- URLs --------------------------------------------------------------------------------------

Val url(Run& run, Args a) {
  const Result<ParsedUrl> parsed = parse_url(a[0].text());
  if (!parsed.ok()) {
    return run.error("URL parse error during conversion from string: " + parsed.status().message());
  }
  auto* v = run.make<UrlValue>();
  v->text = run.copy(parsed->to_string());
  v->scheme = run.copy(parsed->scheme);
  v->host = run.copy(parsed->host);
  v->escaped_path = run.copy(parsed->escaped_path);
  v->query = run.copy(parsed->query);
  return Val::opaque(v);
}
Val is_url(Run&, Args a) { return Val::boolean(parse_url(a[0].text()).ok()); }
Val url_scheme(Run&, Args a) { return Val::string(a[0].opaque_as<UrlValue>().scheme); }
Val url_host(Run&, Args a) { return Val::string(a[0].opaque_as<UrlValue>().host); }
Val url_host_name(Run&, Args a) {
  return Val::string(url_hostname(a[0].opaque_as<UrlValue>().host));
}
Val url_port_text(Run&, Args a) { return Val::string(url_port(a[0].opaque_as<UrlValue>().host)); }
Val url_path(Run&, Args a) { return Val::string(a[0].opaque_as<UrlValue>().escaped_path); }
Val url_query(Run& run, Args a) {
  Val map = run.make_map();
  for (const auto& [key, values] : parse_query(a[0].opaque_as<UrlValue>().query)) {
    Val list = run.make_list(values.size());
    for (const std::string& v : values) list = run.append(list, run.string(v));
    map = run.insert(map, run.string(key), list, true);
    if (run.stopped()) return map;
  }
  return map;
}

// --- addresses ---------------------------------------------------------------------------------

// An error, or nothing.
Val read_ip(Run& run, std::string_view text, IpAddress& out) {
  const auto address = IpAddress::parse_mapped(text);
  if (!address) {
    // A zone makes a right address one that is not taken.
    const size_t zone = text.find('%');
    const auto zoned =
        zone == text.npos ? std::nullopt : IpAddress::parse_mapped(text.substr(0, zone));
    if (zoned && zoned->v6() && zone + 1 < text.size()) {
      return run.error("IP address " + quoted(text) + " with zone value is not allowed");
    }
    return run.error("IP Address " + quoted(text) +
                     " parse error during conversion from string: " + why_no_address(text));
  }
  if (address->is_v4_mapped()) {
    return run.error("IPv4-mapped IPv6 address " + quoted(text) + " is not allowed");
  }
  out = *address;
  return {};
}

Val ip(Run& run, Args a) {
  IpAddress address;
  const Val fault = read_ip(run, a[0].text(), address);
  return fault.is_error() ? fault : Val::opaque(run.make<IpValue>(address));
}
Val is_ip(Run& run, Args a) {
  IpAddress address;
  return Val::boolean(!read_ip(run, a[0].text(), address).is_error());
}
Val is_canonical(Run& run, Args a) {
  IpAddress address;
  const Val fault = read_ip(run, a[0].text(), address);
  return fault.is_error() ? fault : Val::boolean(address.text() == a[0].text());
}
const IpAddress& address_of(Args a) { return a[0].opaque_as<IpValue>().address; }
Val family(Run&, Args a) { return Val::integer(address_of(a).v6() ? 6 : 4); }
Val is_unspecified(Run&, Args a) { return Val::boolean(address_of(a).is_unspecified()); }
Val is_loopback(Run&, Args a) { return Val::boolean(address_of(a).is_loopback()); }
Val is_link_local_multicast(Run&, Args a) {
  return Val::boolean(address_of(a).is_link_local_multicast());
}
Val is_link_local(Run&, Args a) { return Val::boolean(address_of(a).is_link_local()); }
Val is_global_unicast(Run&, Args a) {
  // Go's: what is none of the others.
  const IpAddress& ip = address_of(a);
  const auto bytes = ip.bytes();
  const bool multicast = ip.v6() ? bytes[0] == 0xFF : (bytes[0] & 0xF0) == 0xE0;
  const bool broadcast = !ip.v6() && ip.v4_value() == 0xFFFFFFFF;
  return Val::boolean(!ip.is_unspecified() && !ip.is_loopback() && !multicast &&
                      !ip.is_link_local() && !broadcast);
}
Val opaque_to_string(Run& run, Args a) { return run.string(opaque_text(a[0].opaque_body())); }

constexpr std::string_view kNetworkError =
    "network address parse error during conversion from string: ";

// The whole message of the fault, or nothing.
std::string read_cidr(std::string_view text, IpPrefix& out) {
  const auto prefix = IpPrefix::parse(text);
  const size_t slash = text.rfind('/');
  const auto address =
      slash == text.npos ? std::nullopt : IpAddress::parse_mapped(text.substr(0, slash));
  if (address && address->is_v4_mapped() && prefix) {
    return "IPv4-mapped IPv6 address " + quoted(text) + " is not allowed";
  }
  if (!prefix) return std::string(kNetworkError) + why_no_prefix(text);
  out = *prefix;
  return "";
}

Val cidr(Run& run, Args a) {
  IpPrefix prefix;
  const std::string fault = read_cidr(a[0].text(), prefix);
  if (!fault.empty()) return run.error(std::string(kNetworkError) + fault);
  return Val::opaque(run.make<CidrValue>(prefix));
}
Val is_cidr(Run&, Args a) {
  IpPrefix prefix;
  return Val::boolean(read_cidr(a[0].text(), prefix).empty());
}
const IpPrefix& prefix_of(const Val& v) { return v.opaque_as<CidrValue>().prefix; }

Val contains_ip(Run&, Args a) {
  return Val::boolean(prefix_of(a[0]).contains(a[1].opaque_as<IpValue>().address));
}
Val contains_ip_text(Run& run, Args a) {
  IpAddress address;
  if (read_ip(run, a[1].text(), address).is_error()) return no_such_overload();
  return Val::boolean(prefix_of(a[0]).contains(address));
}
Val contains_cidr(Run&, Args a) { return Val::boolean(prefix_of(a[0]).contains(prefix_of(a[1]))); }
Val contains_cidr_text(Run& run, Args a) {
  IpPrefix prefix;
  const std::string fault = read_cidr(a[1].text(), prefix);
  if (!fault.empty()) return run.error(std::string(kNetworkError) + fault);
  return Val::boolean(prefix_of(a[0]).contains(prefix));
}
Val cidr_ip(Run& run, Args a) { return Val::opaque(run.make<IpValue>(prefix_of(a[0]).base)); }
Val prefix_length(Run&, Args a) { return Val::integer(prefix_of(a[0]).length); }
Val masked(Run& run, Args a) { return Val::opaque(run.make<CidrValue>(prefix_of(a[0]).network())); }

// --- JSON patch --------------------------------------------------------------------------------

Val escape_key(Run& run, Args a) {
  std::string out;
  for (const char c : a[0].text()) {
    if (c == '/') {
      out += "~1";
    } else if (c == '~') {
      out += "~0";
    } else {
      out += c;
    }
  }
  return run.string(out);
}

}  // namespace

void add_regex(Library& lib) {
  const TypePtr& s = string_type();
  lib.member("find", "string_find_string", {s, s}, s, find);
  lib.member("findAll", "string_find_all_string", {s, s}, list_type(s), find_all);
  lib.member("findAll", "string_find_all_string_int", {s, s, int_type()}, list_type(s), find_all);
}

void add_urls(Library& lib) {
  const TypePtr& s = string_type();
  const TypePtr u = struct_type("kubernetes.URL");
  lib.global("url", "string_to_url", {s}, u, url);
  lib.global("isURL", "is_url_string", {s}, bool_type(), is_url);
  lib.member("getScheme", "url_get_scheme", {u}, s, url_scheme);
  lib.member("getHost", "url_get_host", {u}, s, url_host);
  lib.member("getHostname", "url_get_hostname", {u}, s, url_host_name);
  lib.member("getPort", "url_get_port", {u}, s, url_port_text);
  lib.member("getEscapedPath", "url_get_escaped_path", {u}, s, url_path);
  lib.member("getQuery", "url_get_query", {u}, map_type(s, list_type(s)), url_query);
}

void add_addresses(Library& lib) {
  const TypePtr &s = string_type(), &b = bool_type();
  const TypePtr i = opaque_type("net.IP"), c = opaque_type("net.CIDR");
  lib.global("ip", "string_to_ip", {s}, i, ip);
  lib.member("ip", "cidr_ip", {c}, i, cidr_ip);
  lib.global("isIP", "is_ip", {s}, b, is_ip);
  lib.global("ip.isCanonical", "ip_is_canonical", {s}, b, is_canonical);
  lib.member("family", "ip_family", {i}, int_type(), family);
  lib.member("isUnspecified", "ip_is_unspecified", {i}, b, is_unspecified);
  lib.member("isLoopback", "ip_is_loopback", {i}, b, is_loopback);
  lib.member("isLinkLocalMulticast", "ip_is_link_local_multicast", {i}, b, is_link_local_multicast);
  lib.member("isLinkLocalUnicast", "ip_is_link_local_unicast", {i}, b, is_link_local);
  lib.member("isGlobalUnicast", "ip_is_global_unicast", {i}, b, is_global_unicast);
  lib.global("string", "ip_to_string", {i}, s, opaque_to_string);
  lib.global("cidr", "string_to_cidr", {s}, c, cidr);
  lib.global("isCIDR", "is_cidr", {s}, b, is_cidr);
  lib.member("containsIP", "cidr_contains_ip_string", {c, s}, b, contains_ip_text);
  lib.member("containsIP", "cidr_contains_ip_ip", {c, i}, b, contains_ip);
  lib.member("containsCIDR", "cidr_contains_cidr_string", {c, s}, b, contains_cidr_text);
  lib.member("containsCIDR", "cidr_contains_cidr", {c, c}, b, contains_cidr);
  lib.member("prefixLength", "cidr_prefix_length", {c}, int_type(), prefix_length);
  lib.member("masked", "cidr_masked", {c}, c, masked);
  lib.global("string", "cidr_to_string", {c}, s, opaque_to_string);
}

void add_json_patch(Library& lib) {
  lib.global("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", {string_type()},
             string_type(), escape_key);
}

}  // namespace keles::cel
