"""PyMySQL stands in for mysqlclient, which needs a compiler; Django asks for a recent version of the latter."""

import pymysql

pymysql.version_info = (2, 2, 7, 'final', 0)
pymysql.install_as_MySQLdb()
