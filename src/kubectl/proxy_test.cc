// What proxy lets through, and where a path leads.
#include "kubectl/proxy.h"

#include <gtest/gtest.h>

namespace keles::kubectl {
namespace {

using To = ProxyRoute::To;

std::string route(const ProxyPrefixes& p, std::string_view path) {
  ProxyRoute r = route_of(p, path);
  const char* where = r.to == To::kApi        ? "api "
                      : r.to == To::kFiles    ? "files "
                      : r.to == To::kRedirect ? "redirect "
                                              : "nowhere";
  return where + r.path;
}

TEST(ProxyTest, TheStandardFilter) {
  RequestFilter f;
  ASSERT_TRUE(f.set(RequestFilter::kPaths, RequestFilter::kRejectedPaths, RequestFilter::kHosts,
                    RequestFilter::kRejectedMethods)
                  .ok());
  EXPECT_TRUE(f.accepts("GET", "/api/v1/pods", "127.0.0.1:8001"));
  EXPECT_TRUE(f.accepts("DELETE", "/api/v1/pods", "localhost"));
  EXPECT_TRUE(f.accepts("GET", "/api", "[::1]"));
  EXPECT_FALSE(f.accepts("GET", "/api", "evil.example.com:8001"));
  EXPECT_FALSE(f.accepts("GET", "/api", "localhost.evil.example.com"));
  EXPECT_FALSE(f.accepts("POST", "/api/v1/namespaces/default/pods/x/exec", "localhost:8001"));
  EXPECT_FALSE(f.accepts("POST", "/api/v1/namespaces/default/pods/x/attach", "localhost:8001"));
}

TEST(ProxyTest, FiltersOfOnesOwn) {
  RequestFilter f;
  ASSERT_TRUE(f.set("^/api/v1/nodes,^/version", "", "^.*$", "POST,PUT").ok());
  EXPECT_TRUE(f.accepts("GET", "/version", "anybody"));
  EXPECT_FALSE(f.accepts("POST", "/version", "anybody"));
  EXPECT_FALSE(f.accepts("GET", "/api/v1/pods", "anybody"));
  RequestFilter bad;
  EXPECT_EQ(bad.set("[a", "", "", "").message(), "error parsing regexp: missing closing ]: `[a`");
}

TEST(ProxyTest, Routes) {
  ProxyPrefixes all;
  EXPECT_EQ(route(all, "/api/v1"), "api /api/v1");
  EXPECT_EQ(route(all, "/a%20b"), "api /a%20b");
  EXPECT_EQ(route(all, "/api/v1/pods/../../x"), "redirect /api/x");
  // Another spelling of what a filter refuses is no way around it.
  EXPECT_EQ(route(all, "/api/v1/%2e%2e/v1/pods//x/exec"), "redirect /api/v1/pods/x/exec");
  EXPECT_EQ(route(all, "/%zz"), "nowhere");
  ProxyPrefixes custom{"/custom/", "/static/"};
  EXPECT_EQ(route(custom, "/custom/api/v1"), "api /api/v1");
  EXPECT_EQ(route(custom, "/custom"), "redirect /custom/");
  EXPECT_EQ(route(custom, "/api/v1"), "nowhere");
  EXPECT_EQ(route(custom, "/static/a/b"), "files /a/b");
  EXPECT_EQ(route(custom, "/static"), "redirect /static/");
  ProxyPrefixes api{"/api/", "/"};
  EXPECT_EQ(route(api, "/api/v1"), "api /api/v1");
  EXPECT_EQ(route(api, "/index.html"), "files /index.html");
}

}  // namespace
}  // namespace keles::kubectl
