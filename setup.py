"""What pyproject.toml cannot say: a wheel has the app as `segmodels_app`, so that it takes no name such as `ui`."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

APP = {"segmodels_app": ".", "segmodels_app.pages": "pages", "segmodels_app.ui": "ui"}
PARTS = {f"segmodels_app.ui.{name}": f"ui/{name.replace('.', '/')}" for name in find_packages("ui")}


class WithoutThisFile(build_py):
    """It lies beside `app.py`, and is no part of the app."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if module[1] != "setup"]


setup(
    packages=[*find_packages(include=["segmodels", "segmodels.*"]), *APP, *PARTS],
    package_dir={**APP, **PARTS},
    cmdclass={"build_py": WithoutThisFile},
)
